"""Encrypted connections to every store, on real servers with certificates that a test makes."""
