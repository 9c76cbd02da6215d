"""Are both stores in step: one sentence, and what it rests on. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from api.dashboard.words import ago, number, span
from persistence.ports.runs import Kind
from persistence.results import HealthCheck, HealthStatus, OutboxStats
from sync.model import DriftPoint

#: A check older than this says nothing about tonight.
FRESH = timedelta(hours=24)
#: From this age on the oldest memory in doubt is more than the next turn of the relay.
SLOW_S = 60.0


class Tone(StrEnum):
    """How a thing stands; each has a sign of its own beside its colour."""

    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence that a person reads first. ``sign`` stands between both stores: ``=``, ``≠`` or ``?``."""

    tone: Tone
    sentence: str
    detail: str
    sign: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict rests on; None is what could not be read (``basis``: no check was ever made)."""

    health: HealthCheck
    outbox: OutboxStats | None
    open: Mapping[Kind, int] | None
    basis: DriftPoint | None
    now: datetime


def judge(seen: Evidence) -> Verdict:
    """Return the worst that is known; where nothing bad is, whether enough is known to say that all is well."""
    return _out_of_reach(seen) or _differing(seen) or _catching_up(seen) or _as_checked(seen)


def _out_of_reach(seen: Evidence) -> Verdict | None:
    if seen.health.vector.status is HealthStatus.UNHEALTHY:
        why = seen.health.vector.error or ""
        return Verdict(Tone.BAD, "Truth is out of reach.", f"{why} Nothing is read or written until it is back.", "?")
    if seen.health.graph.status is HealthStatus.UNHEALTHY:
        why = f"{seen.health.graph.error or ''} Writes go on; the graph is brought up when it is back."
        return Verdict(Tone.BAD, "The graph is out of reach.", f"{_waiting(seen.outbox)}{why}", "?")
    if seen.health.graph.status is HealthStatus.DISABLED:
        return Verdict(
            Tone.UNKNOWN, "There is no graph.", "This service has truth alone: there is nothing to compare.", "?"
        )
    if seen.outbox is None or seen.open is None:
        return Verdict(Tone.UNKNOWN, "Not known.", "The records beside truth could not be read.", "?")
    return None


def _waiting(outbox: OutboxStats | None) -> str:
    if outbox is None or not outbox.pending:
        return ""
    return f"{_about(outbox)}{number(outbox.pending, 'memory waits', 'memories wait')}. "


def _about(outbox: OutboxStats) -> str:
    return "" if outbox.exact else "At least "


def _differing(seen: Evidence) -> Verdict | None:
    differing = sum((seen.open or {}).values())
    dead = seen.outbox.dead if seen.outbox else 0
    if not differing and not dead:
        return None
    said = [number(differing, "inconsistency is open", "inconsistencies are open")] if differing else []
    said += [number(dead, "entry was given up", "entries were given up")] if dead else []
    return Verdict(Tone.BAD, "The stores are not in step.", f"{' and '.join(said)}. {_known_from(seen)}", "≠")


def _catching_up(seen: Evidence) -> Verdict | None:
    outbox = seen.outbox
    if outbox is None or not outbox.pending:
        return None
    age = outbox.oldest_age_s
    tone = Tone.WARN if age is not None and age >= SLOW_S else Tone.BUSY
    return Verdict(
        tone,
        "The graph is catching up.",
        f"{_waiting(outbox)}The oldest has waited for {span(age)}. {_known_from(seen)}",
        "≈",
    )


def _as_checked(seen: Evidence) -> Verdict:
    basis = seen.basis
    if basis is None:
        return Verdict(
            Tone.UNKNOWN, "Nothing is in doubt, but no check was made.", "Only a check compares both stores.", "?"
        )
    if not basis.complete:
        said = "The last check could not read everything. Check again."
        return Verdict(Tone.UNKNOWN, "Nothing is known to differ.", f"{said} {_known_from(seen)}", "?")
    if seen.now - basis.finished_at > FRESH:
        return Verdict(Tone.UNKNOWN, "Nothing is known to differ, but the last check is old.", _known_from(seen), "?")
    mended = " What it found is mended." if basis.found else ""
    return Verdict(Tone.OK, "Both stores are in step.", f"Nothing is in doubt. {_known_from(seen)}{mended}", "=")


def _known_from(seen: Evidence) -> str:
    if seen.basis is None:
        return "No check of everything was made."
    return f"Last check of everything: {seen.basis.depth.value}, {ago(seen.basis.finished_at)}."
