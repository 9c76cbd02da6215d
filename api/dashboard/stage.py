"""What all pages of one dashboard share: templates, files, sessions, and the backlog over time."""

from __future__ import annotations

from fastapi import Request
from jinja2 import Environment

from api.dashboard.assets import load_assets
from api.dashboard.rendering import make_environment
from api.dashboard.series import Backlogs
from api.dashboard.sessions import Sessions


class Stage:
    """Made with the router, and as old as it; nothing in it is kept anywhere else."""

    def __init__(self) -> None:
        self.assets = load_assets()
        self.templates: Environment = make_environment()
        self.sessions = Sessions()
        self.backlogs = Backlogs()


def stage_of(request: Request) -> Stage:
    """Return the stage that a request came to."""
    stage: Stage = request.state.dashboard
    return stage
