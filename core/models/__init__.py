"""A model id becomes a loaded pair: files checked, adapters merged, weights laid out, loaded and looked at.

Knows no trace, direction, hook body or store. `adapters`, `both`, `files`, `head`, `hub`, `merging`,
`packed_attention`, `parts` and `shapes` are its own.

Face: pair, naming, loaded, loading, checkpoints, folders, heap
"""
