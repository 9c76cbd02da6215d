"""Check, repair and rebuild: what keeps the graph a projection of truth."""
