"""The dashboard: pages rendered on the server, for whoever has to see at night whether both stores are in step."""

from persistence.extras import needing

with needing("api"):
    from api.dashboard.router import make_dashboard
    from api.dashboard.visitor import home_of

__all__ = ["home_of", "make_dashboard"]
