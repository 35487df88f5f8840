"""Text as text: words and keywords, sentences, marks of thinking, rendered prompts, JSON in slices, one-line forms.

Knows no token, trace, model, disk or job.

Face: words, sentences, turns, thoughts, lines, rendered, json_slices, typed
"""
