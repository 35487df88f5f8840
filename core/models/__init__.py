"""A model id becomes a loaded pair: files checked, weights, tokens, the text around a question.

Knows no trace, direction, hook body or store. `hub`, `loading`, `packed_attention` and `template_child` are its
own.

Face: pair, loaded, tokenizer, encoding, frames, readers, keywords, checkpoints, folders, heap
"""
