"""Anyone's file of traces becomes a saved set, or a report of why not.

Knows no model, direction or label rule. `alignment` and `annotated` are its own.

Face: reader, forms, readings, chats, report, data_folders, work
"""
