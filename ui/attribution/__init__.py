"""The Token attribution page.

Knows no other page but `directions`.
"""
