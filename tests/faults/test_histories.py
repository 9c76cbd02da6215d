"""Histories on real stores: what processes were told while everything broke, against what is there afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.histories.calm import StoresBehindPort
from tests.faults.histories.figures import Figures
from tests.faults.histories.run import Plan, Servers, run
from tests.faults.stores import Stores


async def _run(plan: Plan, own: Stores, truth: Any, graph: Any, folder: Path) -> Figures:
    figures = await run(plan, own, Servers(truth, graph), folder, sys.stderr.write)
    sys.stdout.write("\n".join(figures.lines()))
    assert figures.violations == []
    return figures


@pytest.mark.faults
@pytest.mark.timeout(300)  # seconds on a machine at rest, a minute and more on one that is not
async def test_a_short_history_loses_nothing(
    own: Stores, postgres_server: Any, neo4j_server: Any, tmp_path: Path
) -> None:
    """Two workers, one cut off, one paused beyond its lease, one killed, Postgres stopped at once: nothing is lost."""
    faults = ("cut", "pause_worker", "kill_worker", "stop_truth")
    plan = Plan(1, seed=7, workers=2, leases=(0.5, 1.0), faults=faults, write_timeout=1.0, sync_every=1.0)
    figures = await _run(plan, own, postgres_server, neo4j_server, tmp_path)
    assert figures.faults.keys() == set(faults)
    assert len(figures.in_step_after) == 1
    known = tuple({operation.key for operation in figures.operations if operation.do != "check"})
    behind_port = StoresBehindPort(own.postgres, own.schema, own.neo4j, known)
    assert await behind_port.truth() == await own.truth()  # so the same is compared where truth has no SQL


@pytest.mark.faults
async def test_a_long_history_loses_nothing(
    own: Stores, postgres_server: Any, neo4j_server: Any, tmp_path: Path
) -> None:
    """Three workers in a minute and a half of storm, every fault in it: nothing is lost, risen, stale or unseen."""
    figures = await _run(Plan(90, seed=11), own, postgres_server, neo4j_server, tmp_path)
    assert figures.faults.total() >= 20
    assert len(figures.in_step_after) == 3
