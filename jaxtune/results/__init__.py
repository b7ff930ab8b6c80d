"""The results of a search: the table of its trials, and all that follows from it."""
