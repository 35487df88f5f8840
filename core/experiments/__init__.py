"""A claim about a pair: what to measure, on which prompts, against which controls, and what may be said of it.

Knows no page and no command. `protocol`, `ranges` and `blocks` are its own.

Face: values, plans, folder, check, tables, arms, points, readings, statistics, verdicts, words, work
"""
