"""Text as text: words and keywords, sentences, marks of thinking, one-line forms.

Knows no token, trace, model, disk or job.

Face: words, sentences, thoughts, lines
"""
