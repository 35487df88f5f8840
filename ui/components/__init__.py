"""Things drawn from plain data: token strip, lanes, dose strip, lines, heatmaps, colours, safe text.

Knows no job, no workbench and no page.
"""
