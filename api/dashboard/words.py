"""Numbers, times and names as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from persistence.ports.runs import Kind, RunKind, RunState
from persistence.results import Count

_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))

#: What each kind of inconsistency means, in one sentence.
KINDS: dict[Kind, tuple[str, str]] = {
    Kind.MISSING: ("missing in the graph", "Truth has the memory, the graph has not."),
    Kind.ORPHAN: ("orphan in the graph", "The graph has the memory, truth has not."),
    Kind.STALE: ("stale in the graph", "The graph has an older version."),
    Kind.AHEAD: ("ahead in the graph", "The graph has a newer version than truth."),
    Kind.CONTENT: ("content differs", "At the same version both say different things."),
    Kind.EDGE_MISSING: ("edge missing", "An edge that truth states is not in the graph."),
    Kind.EDGE_UNEXPECTED: ("edge unexpected", "The graph has an edge that truth does not state."),
    Kind.ORPHAN_ENTITY: ("orphan entity", "The graph has an entity that no memory mentions."),
    Kind.UNKNOWN: ("unreadable", "It could not be read."),
    Kind.DISCARDED: ("discarded", "Somebody gave up its dead entry."),
}

STATES: dict[RunState, str] = {
    RunState.RUNNING: "busy",
    RunState.INTERRUPTED: "warn",
    RunState.DONE: "ok",
    RunState.CANCELLED: "unknown",
    RunState.FAILED: "bad",
}

RUNS: dict[RunKind, str] = {
    RunKind.CHECK: "Check",
    RunKind.REPAIR: "Repair",
    RunKind.REBUILD: "Rebuild",
    RunKind.FULL: "Full sync",
    RunKind.MOVE: "Move",
}


def number(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def counted(count: Count) -> str:
    """Return a count of memories, and say so where it is not exact or not known."""
    if count.value is None:
        return "not known"
    return f"{count.value:,}" if count.exact else f"about {count.value:,}"


def span(seconds: float | None) -> str:
    """Return a time that passed, in its largest unit."""
    if seconds is None:
        return "not known"
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{seconds / length:.0f}\N{NO-BREAK SPACE}{unit}"
    return "0 s" if seconds <= 0 else "under 1 s"


def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def iso(moment: datetime) -> str:
    """Return a moment as RFC 3339."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock(moment: datetime) -> str:
    """Return a moment to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
