"""A direction and its mean vectors: value, algebra, saved files, files of other tools.

Knows no model, trace or pass. `tensor_child` is its own.

Face: direction, algebra, folder, exports, uploads, tensors, mean_vectors
"""
