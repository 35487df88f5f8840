"""Results as one file: what a bundle holds, how it is written, checked, listed, and merged into a cache.

Knows no page, no engine and no model.

Face: layout, manifest, reading, contents, writing, merging, origins
"""
