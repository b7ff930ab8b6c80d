"""Pure programs of a device: one lane, a block of lanes, a segment of a block."""
