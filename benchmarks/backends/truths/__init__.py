"""The vector stores: through their adapter, and by their client alone."""
