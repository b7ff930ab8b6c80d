"""Decisions before anything trains: shapes, widths, memory, programs."""
