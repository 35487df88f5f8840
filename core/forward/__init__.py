"""One forward pass: what is recorded, what is edited and where, how its end is read as logits. The only hooks.

Knows no sampling, trace, job or disk.

Face: acceptance, edits, programs, steering, hooks, unembedding, kv_cache, stand_ins, suffixes
"""
