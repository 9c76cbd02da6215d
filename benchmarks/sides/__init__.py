"""Three ways to write the same memories into the same two servers."""
