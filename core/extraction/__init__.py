"""Traces become directions: one pass, its sums, every window and control that follow from them.

Knows no run and no attribution. `layers`, `packs`, `rounding`, `selection` and `view` are its own.

Face: values, moments, keeping, shelf, passes, direction_sets, merging, contrast, controls, tables, work
"""
