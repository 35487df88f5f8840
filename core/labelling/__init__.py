"""Who says what a sentence does: keywords, a judge, and how far two agree.

Knows no model of ours, no direction and no import.

Face: keywords, judge, endpoint, crew, prompt, agreement, references, work
"""
