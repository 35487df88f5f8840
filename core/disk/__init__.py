"""Bytes on disk: whole files, the store that finds a value by its spec, kept values, keys.

Knows no kind of value, no model and no page. `database`, `guarded` and `large` are its own.

Face: files, digests, fields, codec, store, parts, kept, carried, leases
"""
