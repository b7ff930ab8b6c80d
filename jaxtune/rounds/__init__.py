"""The rounds of a search: ask, train, score, tell, refine."""
