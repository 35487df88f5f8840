"""Reusable parts of the pages: shell, state, job progress, forms, charts, token strip. Imports no torch."""
