"""What a model reads: its tokenizer, the text around a question, texts as token ids and back.

Knows no weights, layer or device. `template_child` is its own.

Face: tokenizer, encoding, frames, keywords, vocabulary, readers
"""
