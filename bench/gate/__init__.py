"""Is the later of two measurements worse? Blocks to a verdict, and what may be compared. Pure."""
