"""What a device computes: one lane, a block of lanes, a segment of a block; pure."""
