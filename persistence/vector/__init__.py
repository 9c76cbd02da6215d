"""Adapters to vector stores: the truth."""
