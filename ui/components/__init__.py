"""Things drawn from plain data: token strip, lanes, dose strip, lines, heatmaps, colours and names, safe text.

Knows no job, no workbench and no page.
"""
