"""What a search found: the table of trials, and what can be asked of it."""
