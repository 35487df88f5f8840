"""What every page stands in: frame, session, pair, jobs, links, notices, what one page hands to another.

Knows no page.
"""
