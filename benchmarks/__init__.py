"""What the pair of stores costs beside hand-written statements: ``python -m benchmarks``."""
