"""The routes of the dashboard, one module a subject; each adds its own with ``add(router)``."""
