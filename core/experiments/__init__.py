"""A claim about a pair: what to measure, on which prompts, against which controls, and what may be said of it.

Knows no page and no command. `protocol` and `cell_work` are its own.

Face: values, plans, folder, check, presets, arms, points, readings, appendix, statistics, verdicts,
words, command, work
"""
