"""`config`: the environment and the secrets of the production stack, made and looked at."""

from api.cli.configuring.commands import app

__all__ = ["app"]
