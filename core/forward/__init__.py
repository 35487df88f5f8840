"""One forward pass: what is recorded, what is edited and where, how its end is read. The only hooks.

Knows no trace, job or disk.

Face: acceptance, edits, programs, steering, hooks, unembedding, kv_cache, stand_ins, suffixes,
fixed_fit, fixed_step, sampling, batch, scoring
"""
