"""What is shown to a room: the talk, the folder that keeps it, and the pair that is kept from being replaced for it.

Knows no page and no engine, and of runs and experiments only their ids.

Face: items, folder, hold
"""
