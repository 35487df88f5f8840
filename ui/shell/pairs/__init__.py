"""The pair of models: choosing it, fetching it, and the one that a link was made with."""
