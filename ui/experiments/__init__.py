"""The Experiments page.

Knows no other page but `directions`.
"""
