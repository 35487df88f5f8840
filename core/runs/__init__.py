"""Completions: lanes, doses, sets, forks, and what is kept, compared and handed out of them.

Knows no extraction and no attribution. `lanes` and `replay` are its own.

Face: values, generation, dose_strip, dose_response, coherence, forks, arms, questions, written_traces, history,
journal, script, export, work
"""
