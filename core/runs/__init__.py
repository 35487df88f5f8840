"""Completions: lanes, doses, sets, forks, and what is kept, compared and handed out of them.

Knows no extraction and no attribution. `replay` is its own.

Face: values, generation, lanes, dose_strip, cells, coherence, forks, arms, questions, written_traces,
history, journal, script, export, work
"""
