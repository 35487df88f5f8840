"""A server that a room may use: who is let in, from where it is reached, and what visitors asked. Knows no page.

Face: door, addresses, qr
"""
