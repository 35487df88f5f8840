"""The command line: the paper on any pair, without the pages, over the same store."""
