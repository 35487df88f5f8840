"""Reading one text: its sentences in tokens, where it opens, and the bar of switches above it.

May import the rest of `ui/attribution/`, save what draws a section of the page.
"""
