"""The Home page.

Knows no other page but `directions`.
"""
