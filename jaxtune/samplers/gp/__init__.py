"""A Gaussian process over the cube, and batches of points from it."""
