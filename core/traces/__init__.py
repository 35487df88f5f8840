"""Labelled texts: events and windows in tokens, saved sets, corrections, labellings kept beside them.

Knows no foreign file, no labeller and no direction. `edits` and `originals` are its own.

Face: events, records, coverage, remade, set_files, sets, queries, work
"""
