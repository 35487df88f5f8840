"""The talk: what is shown to a room, from the store, as slides over the whole window or as a file.

Knows no page; pages hand it what they show.
"""
