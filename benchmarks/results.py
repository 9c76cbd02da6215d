"""What was measured, what was aimed at, and the file that keeps both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """An aim: ``value`` is to be ``bound`` at most (``at_most``) or at least."""

    name: str
    value: float
    bound: float
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def sentence(self) -> str:
        """Say it in words."""
        sign = "≤" if self.at_most else "≥"
        return f"{self.name}: {self.value:.2f} ({sign} {self.bound:g} wanted)"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: a side, and its figures by name, units in the names."""

    side: str
    figures: Mapping[str, float]


@dataclass(slots=True)
class Section:
    """One thing measured: a table, the aims, and every single value in ``samples``."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    samples: dict[str, Sequence[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All sections of one run."""

    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    started_at: datetime
    sections: list[Section] = field(default_factory=list)

    @property
    def missed(self) -> list[Target]:
        """The targets that were not met."""
        return [target for section in self.sections for target in section.targets if not target.met]

    def as_json(self) -> dict[str, Any]:
        """Return everything, times in RFC 3339, units in names."""
        return {
            "started_at": self.started_at.isoformat().replace("+00:00", "Z"),
            "finished_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "machine": self.machine,
            "options": self.options,
            "sections": {section.name: _section(section) for section in self.sections},
            "targets_met": not self.missed,
        }

    def write(self, folder: Path) -> Path:
        """Write ``<date>.json`` (with the time of day, so that no run overwrites another) and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.started_at:%Y-%m-%dT%H%M%SZ}.json"
        path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
        return path


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "lines": [{"side": line.side, **line.figures} for line in section.lines],
        "targets": [{**asdict(target), "met": target.met} for target in section.targets],
        "samples": {name: [round(value, 6) for value in values] for name, values in section.samples.items()},
        "notes": section.notes,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of the values do not exceed. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
