"""When something is due again: an interval such as ``6h``, or a cron expression such as ``0 3 * * *``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from persistence.errors import ConfigurationError, shorten
from persistence.ports.runs import Depth
from persistence.settings import PersistenceConfig

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
LONGEST = 366 * UNITS["d"]
CRON_FIELDS = 5

_INTERVAL = re.compile(r"(?:[0-9]{1,9}[smhdw])+", re.ASCII)
_PART = re.compile(r"([0-9]+)([smhdw])", re.ASCII)


class Timing(Protocol):
    """Says when the next time is."""

    def next(self, after: datetime, seed: int) -> datetime:
        """Return the first time after ``after``, in UTC; the same for the same ``seed``, in every process."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """So many seconds later, and up to the share ``jitter`` of them more, so that deployments do not march in step."""

    seconds: int
    jitter: float = 0.0

    def next(self, after: datetime, seed: int) -> datetime:
        share = self.jitter * (seed % 1_000) / 1_000
        return (after + timedelta(seconds=self.seconds * (1 + share))).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a cron expression, by the clocks of a time zone; what a clock skips or repeats comes once."""

    expression: str
    zone: tzinfo = UTC

    def next(self, after: datetime, seed: int) -> datetime:  # noqa: ARG002  # the same in every timing
        return next(CronSim(self.expression, after.astimezone(self.zone))).astimezone(UTC)


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name. Raises ConfigurationError."""
    if name == "UTC":  # also where no time zones are installed
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"There is no time zone {shorten(name)} on this machine.",
            hint="use a name such as Europe/Berlin; where there are none, pip install tzdata",
        ) from error


def timing_of(setting: str, text: str, *, jitter: float = 0.0, zone: tzinfo = UTC) -> Timing | None:
    """Return the timing that a setting describes, None where it is empty. Raises ConfigurationError."""
    text = text.strip()
    if not text:
        return None
    timing = Every(_seconds(text), jitter) if _INTERVAL.fullmatch(text) else Cron(text, zone)
    if isinstance(timing, Cron) and not _is_cron(text):
        raise _wrong(setting, text)
    if isinstance(timing, Every) and not 1 <= timing.seconds <= LONGEST:
        raise _wrong(setting, text)
    return timing


def timings_of(config: PersistenceConfig) -> dict[Depth, Timing]:
    """Return the timings of the settings; a depth that is never checked is not in it. Raises ConfigurationError."""
    settings = {
        Depth.QUICK: ("sync_quick_every", config.sync_quick_every),
        Depth.STRUCTURE: ("sync_structure_every", config.sync_structure_every),
        Depth.FULL: ("sync_full_every", config.sync_full_every),
    }
    zone = zone_of(config.sync_timezone)
    timings = {
        depth: timing_of(name, text, jitter=config.sync_jitter, zone=zone) for depth, (name, text) in settings.items()
    }
    return {depth: timing for depth, timing in timings.items() if timing is not None}


def _seconds(text: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))


def _is_cron(text: str) -> bool:
    """Say whether this is a cron expression that comes to a time at all."""
    if len(text.split()) != CRON_FIELDS:
        return False
    try:
        return next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)), None) is not None
    except CronSimError:
        return False


def _wrong(setting: str, text: str) -> ConfigurationError:
    return ConfigurationError(
        f"The setting {setting} is wrong: {shorten(text)} is neither an interval of 1 second to 366 days"
        " nor a cron expression.",
        hint='write something like "15m", "1h30m", "7d" or "0 3 * * *"; leave it empty for never',
    )
