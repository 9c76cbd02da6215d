"""Adapters to graph stores: the projection."""
