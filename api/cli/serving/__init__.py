"""`serve` and `worker`: the processes that go on until they are told to stop."""

from api.cli.serving.commands import app

__all__ = ["app"]
