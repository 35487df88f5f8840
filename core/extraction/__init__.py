"""Traces become directions: one pass, its sums, every window and control that follow from them.

Knows no run and no attribution. `packs`, `selection` and `view` are its own.

Face: values, moments, shelf, passes, contrast, controls, tables, work
"""
