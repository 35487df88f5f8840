"""The Steering playground.

Knows no other page but `directions`.
"""
