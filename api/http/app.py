"""Puts the application together: routes, errors, limits."""

from __future__ import annotations

from fastapi import FastAPI

from api.http.caller import Authenticate, anyone
from api.http.host import Host


def create_app(host: Host, *, authenticate: Authenticate = anyone) -> FastAPI:
    """Make the application on a host that is open as long as the application serves."""
    app = FastAPI(title="diptych", openapi_url="/openapi.json")
    app.state.host = host
    app.state.authenticate = authenticate
    return app
