"""A direction and its mean vectors: value, algebra, saved files, files of other tools.

Knows no model, trace or pass. `tensor_child`, `layer_names` and `statements` are its own.

Face: direction, algebra, folder, exports, uploads, found, tensors, mean_vectors
"""
