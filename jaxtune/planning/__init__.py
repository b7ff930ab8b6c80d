"""What is decided before anything trains: shapes, widths, memory, programs."""
