"""Directions on screen: choosing one anywhere, and the Directions page.

Knows no other page.
"""
