"""Each token of a text against a direction, and what an intervention there does.

Knows no run and no extraction. `direct`, `divergence`, `frozen_linears`, `stream_lens` and `targets` are its own.

Face: values, readouts, costs, one_text, corpus, gradients, interventions, direction_lens, cross_check, token_diff, work
"""
