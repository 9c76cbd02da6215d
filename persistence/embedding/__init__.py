"""Adapters of the embedder port: feature hashing, and any OpenAI-compatible endpoint."""
