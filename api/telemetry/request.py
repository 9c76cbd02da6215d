"""A request as work that an observer can be told of."""

from __future__ import annotations

from dataclasses import dataclass, field

from persistence.ports.observer import Work


@dataclass(slots=True)
class Request(Work):
    """One HTTP request. ``parents`` are the headers that say which trace it belongs to; the rest is set at its end.

    ``route`` is the template of the route that took it.
    """

    method: str
    parents: dict[str, str]
    route: str = field(init=False, default="")
    status: int | None = field(init=False, default=None)
    request_id: str | None = field(init=False, default=None)
    complete: bool = field(init=False, default=False)
