"""Run directories, from which an interrupted search can be resumed."""
