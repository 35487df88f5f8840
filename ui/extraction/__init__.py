"""The Extraction page.

Knows no other page but `directions`.
"""
