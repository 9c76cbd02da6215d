"""Adapters of the extractor port: rules, and any OpenAI-compatible endpoint."""
