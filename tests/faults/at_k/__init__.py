"""Every public operation, with each of its calls on a store failing in turn."""
