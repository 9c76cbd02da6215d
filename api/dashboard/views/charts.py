"""Small charts as numbers that a template draws as SVG: geometry only, no colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.dashboard.series import EVERY, Sample
from api.dashboard.words import ago, number
from sync.model import DriftPoint

#: The drawing's size, and the room inside it.
WIDTH, HEIGHT = 480, 120
LEFT, RIGHT, TOP, BOTTOM = 6.0, 474.0, 12.0, 112.0
#: Points of a line; of more samples than that the highest of each stretch is drawn.
POINTS = 160
#: A longer silence than this leaves a gap.
SILENCE = timedelta(seconds=EVERY * 3)


@dataclass(frozen=True, slots=True)
class Dot:
    """One thing that was seen. ``whole`` False: a check that could not read everything."""

    x: float
    y: float
    value: int
    label: str
    whole: bool = True
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """``lines``: "x,y" pairs of each stretch without gaps. ``top``: the value at the upper edge. ``told``: in words."""

    dots: tuple[Dot, ...]
    lines: tuple[str, ...]
    areas: tuple[str, ...]
    top: int
    begins: datetime | None
    ends: datetime | None
    told: str


def drift_chart(points: Sequence[DriftPoint]) -> Chart:
    """Draw what checks found, a dot each, evenly spaced: checks come when they come."""
    top = _top(point.found for point in points)
    step = (RIGHT - LEFT) / max(len(points) - 1, 1)
    dots = tuple(
        Dot(
            round(LEFT + step * at if len(points) > 1 else (LEFT + RIGHT) / 2, 1),
            _height(point.found, top),
            point.found,
            f"{point.depth.value}, {ago(point.finished_at)}: {point.found:,} found",
            point.complete,
            str(point.run_id),
        )
        for at, point in enumerate(points)
    )
    line = " ".join(f"{dot.x},{dot.y}" for dot in dots)
    begins, ends = (points[0].finished_at, points[-1].finished_at) if points else (None, None)
    return Chart(dots, (line,) if len(dots) > 1 else (), (), top, begins, ends, _drift_told(points))


def _drift_told(points: Sequence[DriftPoint]) -> str:
    if not points:
        return "No check has come to its end yet."
    most = max(point.found for point in points)
    checks = number(len(points), "check", "checks")
    return f"{checks}: the last one found {points[-1].found:,}, the most that one found is {most:,}."


def backlog_chart(samples: Iterable[Sample], now: datetime) -> Chart:
    """Draw how much was in doubt, over time; where nobody could look there is a gap."""
    kept = list(samples)
    known = [sample for sample in kept if sample.pending is not None]
    if not known:
        return Chart((), (), (), 1, None, None, "Nobody has looked at the outbox yet.")
    begins, ends = kept[0].at, max(now, kept[-1].at)
    top = _top(sample.pending or 0 for sample in known)
    runs = [_thinned(run) for run in _stretches(kept)]
    placed = [[(_across(one.at, begins, ends), _height(one.pending or 0, top)) for one in run] for run in runs]
    last = known[-1]
    dot = Dot(*placed[-1][-1], value=last.pending or 0, label=f"{last.pending or 0:,} in doubt, {ago(last.at)}")
    most = max(sample.pending or 0 for sample in known)
    told = f"{last.pending or 0:,} in doubt now, {most:,} at most since {ago(begins)}."
    lines = tuple(_pairs(run) for run in placed)
    areas = tuple(_pairs([(run[0][0], BOTTOM), *run, (run[-1][0], BOTTOM)]) for run in placed)
    return Chart((dot,), lines, areas, top, begins, ends, told)


def _stretches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Cut samples where one is missing."""
    runs: list[list[Sample]] = [[]]
    for sample in samples:
        if runs[-1] and (sample.pending is None or sample.at - runs[-1][-1].at > SILENCE):
            runs.append([])
        if sample.pending is not None:
            runs[-1].append(sample)
    return [run for run in runs if run]


def _thinned(run: Sequence[Sample]) -> list[Sample]:
    """Return no more samples than can be told apart: of each few the highest, and always the last."""
    few = len(run) // POINTS + 1
    if few == 1:
        return list(run)
    kept = [max(run[at : at + few], key=lambda one: one.pending or 0) for at in range(0, len(run) - 1, few)]
    return [*(one for one in kept if one is not run[-1]), run[-1]]


def _pairs(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _across(moment: datetime, begins: datetime, ends: datetime) -> float:
    whole = max((ends - begins).total_seconds(), 1.0)
    return round(LEFT + (RIGHT - LEFT) * (moment - begins).total_seconds() / whole, 1)


def _height(value: int, top: int) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 1)


def _top(values: Iterable[int]) -> int:
    """Return a round number at or above the highest value."""
    highest, step = max(values, default=0), 1
    while True:
        for factor in (1, 2, 5):
            if highest <= step * factor:
                return step * factor
        step *= 10
