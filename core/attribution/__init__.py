"""Each token of a text against a direction, and what an intervention there does.

Knows no run and no extraction. `direct`, `divergence` and `frozen_linears` are its own.

Face: values, readouts, costs, one_text, corpus, gradients, interventions, direction_lens, cross_check, targets,
stream_lens, token_diff, work
"""
