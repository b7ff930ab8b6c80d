"""The rounds of a search: refine, tell, ask, train, score."""
