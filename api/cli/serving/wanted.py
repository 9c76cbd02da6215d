"""What `serve` is to do."""

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
