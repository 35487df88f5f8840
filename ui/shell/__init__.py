"""What every page stands in: frame, session, pair, jobs, links, notices, hand-overs, the two models' names and colours.

Knows no page.
"""
