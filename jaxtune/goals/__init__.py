"""Constraints and several goals: what is allowed, and how trials rank by both."""
