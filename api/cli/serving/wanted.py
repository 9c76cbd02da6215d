"""What `serve` and `worker` are to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each can be switched off."""

    api: bool
    dashboard: bool
    mcp: bool
    relay: bool
    schedule: bool


ALL = Wanted(api=True, dashboard=True, mcp=True, relay=True, schedule=True)
#: What a worker does; probes and metrics are served at any rate.
ALONE = Wanted(api=False, dashboard=False, mcp=False, relay=True, schedule=True)
