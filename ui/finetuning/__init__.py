"""The Finetuning page.

Knows no other page.
"""
