"""What all pages of one dashboard share: templates, files, sessions, and the backlog over time."""

from __future__ import annotations

import secrets

from fastapi import Request
from jinja2 import Environment

from api.dashboard.assets import load_assets
from api.dashboard.rendering import make_environment
from api.dashboard.series import Backlogs
from api.dashboard.sessions import Sessions
from api.http.settings import ApiConfig


class Stage:
    """Made with the router, and as old as it; nothing in it is kept anywhere else."""

    def __init__(self) -> None:
        self.assets = load_assets()
        self.templates: Environment = make_environment()
        self._secret = secrets.token_bytes(32)
        self.backlogs = Backlogs()

    def sessions(self, config: ApiConfig) -> Sessions:
        """Return what makes and checks tokens: with the secret of the settings, else with one as old as the router."""
        given = config.session_secret
        return Sessions(self._secret if given is None else given.get_secret_value().encode())


def stage_of(request: Request) -> Stage:
    """Return the stage that a request came to."""
    stage: Stage = request.state.dashboard
    return stage
