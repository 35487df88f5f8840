"""Models that come in a package of the package index: fetched once, checked by their digest, kept as model folders.

Trains nothing and knows no page. `conversion`, `index` and `transfer` are its own.

Face: catalogue, jobs, shipped, work
"""
