"""The verdict of a soak, on planted series; a soak of twenty seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.faults.soak.drawing import draw
from tests.faults.soak.soak import Soak
from tests.faults.soak.verdict import ENOUGH, TOLERANCES, Tolerance, judge, trend

LENGTH = 1_800
FINE = {"pending": 0, "dead": 0, "found": 0, "lost": 0, "alarms": 0, "foreign": 0, "complete": True}
TOLERANCE = Tolerance(10.0)


def noisy(seed: int, level: float = 100.0) -> list[float]:
    """Return a series that goes up and down about a level, with a spike of a fault now and then."""
    rng = random.Random(seed)
    return [level + rng.uniform(-5, 5) + (rng.random() < 0.1) * rng.uniform(0, 500) for _ in range(LENGTH)]


@pytest.mark.parametrize("seed", range(5))
def test_a_series_that_stays(seed: int) -> None:
    """Noise and spikes are no growth."""
    assert trend("x", noisy(seed), TOLERANCE).bounded


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("an_hour", [60.0, 600.0])
def test_a_planted_leak(seed: int, an_hour: float) -> None:
    """A slow leak under noise and spikes is found, and its size said."""
    leaking = [value + at * an_hour / 3_600 for at, value in enumerate(noisy(seed))]
    found = trend("x", leaking, TOLERANCE)
    assert not found.bounded
    assert found.growth == pytest.approx(an_hour / 4, rel=0.2)
    assert "GROWS" in found.sentence()


def test_a_leak_in_steps() -> None:
    """What grows by a step now and then is found too."""
    assert not trend("x", [100.0 + 5 * (at // 100) for at in range(LENGTH)], TOLERANCE).bounded


def test_warming_up() -> None:
    """What grows at first and then stays is no leak; nor is a saw that comes back."""
    assert trend("x", [min(at, LENGTH // 4) for at in range(LENGTH)], TOLERANCE).bounded
    assert trend("x", [at % 60 for at in range(LENGTH)], TOLERANCE).bounded


def test_a_series_that_shrinks() -> None:
    """Shrinking is no growth."""
    assert trend("x", [LENGTH - at for at in range(LENGTH)], TOLERANCE).bounded


@pytest.mark.parametrize("values", [[], [None] * LENGTH, [1.0] * (ENOUGH - 1), [1.0] * 900 + [None] * 900])
def test_too_little_to_judge(values: list[float | None]) -> None:
    """What was not sampled is not taken to be bounded."""
    found = trend("x", values, TOLERANCE)
    assert not found.bounded
    assert "too few" in found.sentence()


def test_samples_that_could_not_be_had() -> None:
    """Gaps neither hide a leak nor make one."""
    rng = random.Random(1)
    holes = [None if rng.random() < 0.2 else value for value in noisy(1)]
    assert trend("x", holes, TOLERANCE).bounded
    leaking = [None if value is None else value + at / 10 for at, value in enumerate(holes)]
    assert not trend("x", leaking, TOLERANCE).bounded


def samples(**planted: list[float]) -> list[dict[str, Any]]:
    """Return samples of every series that is judged, flat but for those planted."""
    return [{name: planted[name][at] if name in planted else 1.0 for name in TOLERANCES} for at in range(LENGTH)]


def test_the_verdict_of_a_good_soak() -> None:
    """Flat series and a good end pass."""
    verdict = judge(samples(), FINE)
    assert verdict.faults == []
    assert verdict.as_json()["passed"]


@pytest.mark.parametrize("name", TOLERANCES)
def test_the_verdict_names_what_grows(name: str) -> None:
    """One series that leaks fails the soak, whichever it is."""
    (fault,) = judge(samples(**{name: [float(at) for at in range(LENGTH)]}), FINE).faults
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize("name", FINE)
def test_the_verdict_of_a_bad_end(name: str) -> None:
    """A good course does not make up for what is found after the calm, nor for a worker that died."""
    assert len(judge(samples(), {**FINE, name: 0 if name == "complete" else 3}).faults) == 1
    assert len(judge(samples(), {}).faults) == 1


def test_the_picture() -> None:
    """The picture is an SVG with a panel for each series, a gap where a sample is missing, a mark where a fault was."""
    seen = [
        {"t": float(at), "a": None if at == 5 else 2.0 * at, "b": 0, "faults": "<x>" * (at == 3)} for at in range(9)
    ]
    root = ET.fromstring(draw(seen, ["a", "b"]))  # noqa: S314 - it is our own
    panels = root.findall("{*}g")
    assert [len(panel.findall("{*}polyline")) for panel in panels] == [2, 1]
    assert [len(panel.findall("{*}line")) for panel in panels] == [1, 1]
    assert ET.fromstring(draw([], ["a"])) is not None  # noqa: S314 - it is our own


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_short_soak(postgres_server: Any, neo4j_server: Any, tmp_path: Path) -> None:
    """Twenty seconds under faults: what was promised is there, the outbox empty, all in step and written down."""
    verdict = await Soak(20, 7, tmp_path, print).run(postgres_server, neo4j_server)
    lasting = [fault for fault in verdict.faults if ": " not in fault]  # twenty seconds say nothing of a trend
    assert lasting == []
    assert verdict.end["operations"] > 0
    assert json.loads((tmp_path / "verdict.json").read_text("utf-8"))["end"] == dict(verdict.end)
    assert (tmp_path / "samples.csv").read_text("utf-8").count("\n") > 5
    assert ET.fromstring((tmp_path / "soak.svg").read_text("utf-8")) is not None  # noqa: S314 - our own
