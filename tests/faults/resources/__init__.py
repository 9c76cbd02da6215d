"""What becomes of the pair when a resource runs out, and when clocks are wrong."""
