"""A model id becomes a loaded pair: files checked, weights, tokens, the text around a question.

Knows no trace, direction, hook body or store. `adapters`, `files`, `head`, `hub`, `loading`, `lock`, `merging`,
`packed_attention`, `parts`, `shapes` and
`template_child` are its own.

Face: pair, loaded, tokenizer, encoding, frames, readers, keywords, checkpoints, folders, vocabulary
"""
