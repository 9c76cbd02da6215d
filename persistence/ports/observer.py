"""What a service tells of its own work, to whoever counts, traces or logs it. Who that is, persistence does not know.

Nothing here carries content, parameters or secrets. Ids are for logs alone: a metric or a trace leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Part(StrEnum):
    """What a service stands on."""

    TRUTH = "truth"
    GRAPH = "graph"
    EMBEDDER = "embedder"
    EXTRACTOR = "extractor"


@dataclass(frozen=True, slots=True)
class Location:
    """Where an adapter's server is, as far as the adapter knows. ``namespace``: what of the server is meant."""

    host: str | None
    port: int | None
    namespace: str | None


@dataclass(frozen=True, slots=True)
class PoolUse:
    """An adapter's connections now: open, idle among them, at most; and callers that wait for one."""

    size: int
    idle: int
    limit: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Target:
    """The adapter that a call goes to. ``kind`` is the backend's name, or the model's."""

    part: Part
    kind: str
    location: Location | None = None


@dataclass(slots=True)
class Work:
    """Something that takes time. ``seconds`` and ``error``, the name of the error's class, are set at its end."""

    seconds: float = field(init=False, default=0.0)
    error: str | None = field(init=False, default=None)


@dataclass(slots=True)
class Call(Work):
    """One call on the service. ``outcomes``, set at the end, says how it went: for a write of how many memories.

    Values of Outcome; ``ok`` and ``degraded`` for reads; where the call raised ``refused`` (the caller's fault, nothing
    was done), ``unknown`` (it may have been done) or ``failed``.
    """

    operation: str
    user_id: str | None = None
    memory_id: str | None = None
    outcomes: Mapping[str, int] = field(init=False, default_factory=dict)


@dataclass(slots=True)
class AdapterCall(Work):
    """One attempt at one call on an adapter. ``size``: items handed over, 1 where it takes no list."""

    target: Target
    operation: str
    size: int = 1


@dataclass(slots=True)
class RelayBatch(Work):
    """Outbox entries that the relay took: brought in step, failed at, given up among these."""

    entries: int
    applied: int = field(init=False, default=0)
    failed: int = field(init=False, default=0)
    dead: int = field(init=False, default=0)


@dataclass(slots=True)
class SyncRun(Work):
    """A check, repair, rebuild or full sync that this process led, or a part of one that was taken up.

    ``state`` is the run's when this process left it, ``found`` its inconsistencies by kind; ``complete`` None: unknown.
    """

    run_id: str
    kind: str
    depth: str
    user_id: str | None
    state: str = field(init=False, default="")
    complete: bool | None = field(init=False, default=None)
    found: Mapping[str, int] = field(init=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retried:
    """A call on a part failed with an error of this class, and is made again."""

    part: Part
    error: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The circuit breaker before the graph is ``open`` or ``closed`` now."""

    state: str


Event = Retried | BreakerChanged
Ending = Callable[[], None]


class Observer(Protocol):
    """Is told of work as it happens, on the event loop: it answers at once, and does not wait for anything."""

    def began(self, work: Work) -> Ending:
        """Take note that work begins; what is returned is called once at its end, in the same context."""
        ...

    def noted(self, event: Event) -> None:
        """Take note of something that takes no time."""
        ...


def nothing() -> None:
    """End what nobody observes."""


class Unobserved:
    """Nobody looks."""

    def began(self, work: Work) -> Ending:  # noqa: ARG002  # the shape of an Observer
        return nothing

    def noted(self, event: Event) -> None:
        pass


#: The observer where none is given. Work is not even measured for it.
UNOBSERVED = Unobserved()
