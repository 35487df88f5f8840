"""What stands beside every page: how far the work is, and what the words mean."""
