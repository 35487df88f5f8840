"""What every page stands in: frame, session, pair, jobs, links, notices, hand-overs.

Knows no page.
"""
