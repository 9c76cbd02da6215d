"""Checks, repairs and rebuilds of very many memories, beside the raw statements that they stand on."""
