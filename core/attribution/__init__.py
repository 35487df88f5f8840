"""Each token of a text against a direction, and what an intervention there does.

Knows no run and no extraction. `direct`, `divergence`, `frozen_linears` and `stream_lens` are its own.

Face: values, readouts, costs, one_text, corpus, gradients, interventions, direction_lens, cross_check, targets,
token_diff, work
"""
