"""The graph stores: through their adapter, and by their driver alone."""
