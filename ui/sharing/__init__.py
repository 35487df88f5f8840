"""A shared server on the speaker's screen: the invitation, and what visitors asked."""
