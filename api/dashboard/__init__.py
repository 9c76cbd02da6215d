"""The dashboard: pages rendered on the server, for whoever has to see at night whether both stores are in step."""

from api.dashboard.router import make_dashboard

__all__ = ["make_dashboard"]
