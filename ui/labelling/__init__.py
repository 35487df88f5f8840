"""The Labelling page.

Knows no other page.
"""
