"""The Traces page.

Knows no other page.
"""
