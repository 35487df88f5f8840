"""What every page stands in: frame, session, pair, jobs, links, notices, what one page hands to another, the two models' names and colours.

Knows no page.
"""
