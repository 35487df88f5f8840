"""The Bundles page.

Knows no other page but `directions`.
"""
