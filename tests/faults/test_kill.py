"""kill -9 between any two steps of a write, then a relay in a new process: all that was acknowledged is in both."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from persistence import Key
from persistence.projection import Fragment
from tests.faults.child import BATCH, ITEMS
from tests.faults.stores import DIMENSION, Stores, draft

SECONDS = 90
#: Children at once; each is a Python process that starts in about a second.
CHILDREN = 2


class Point(NamedTuple):
    """Where a child dies: before or after the n-th call of an adapter's method."""

    work: str
    store: str
    moment: str
    method: str
    number: int = 1
    rollback: bool = False


#: The third batch in truth, the second in the graph, the first settled: each while others are under way.
BULK = {
    "before_truth": Point("store_many", "vector", "before", "write_many", 3),
    "after_truth": Point("store_many", "vector", "after", "write_many", 3),
    "before_graph": Point("store_many", "graph", "before", "apply", 2),
    "after_graph": Point("store_many", "graph", "after", "apply", 2),
    "before_settle": Point("store_many", "vector", "before", "settle"),
    "after_settle": Point("store_many", "vector", "after", "settle"),
}
SINGLE = {
    "store_after_truth": Point("store", "vector", "after", "write"),
    "store_after_graph": Point("store", "graph", "after", "apply"),
    "update_after_truth": Point("update", "vector", "after", "write"),
    "update_after_graph": Point("update", "graph", "after", "apply"),
    "delete_after_truth": Point("delete", "vector", "after", "delete_many"),
    "delete_after_graph": Point("delete", "graph", "after", "apply"),
    "delete_all_after_truth": Point("delete_all", "vector", "after", "delete_many"),
    "undo_before_truth": Point("update", "vector", "before", "write", 2, rollback=True),
    "undo_after_truth": Point("update", "vector", "after", "write", 2, rollback=True),
    "undo_of_a_new_one": Point("store", "vector", "after", "delete_many", rollback=True),
}


class Aftermath(NamedTuple):
    """What the children left, and what the relay made of it."""

    code: dict[str, int]
    acknowledged: dict[str, int]
    truth: dict[Key, tuple[int, int, Fragment | None]]
    outbox: list[dict[str, Any]]
    unseen: list[str]
    report: dict[str, int]
    after: dict[Key, tuple[int, int, Fragment | None]]
    outbox_after: list[dict[str, Any]]
    differences: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aftermath(postgres_server: Any, neo4j_server: Any) -> AsyncIterator[Aftermath]:
    """Let a child die at each point, a tenant of its own for each, then run one relay over what they left."""
    stores = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n")
    points = BULK | SINGLE
    async with stores.service() as memories:
        await memories.store_many([draft(n, user_id=name) for name in SINGLE for n in (1, 2)])
    ended = await _all_children(stores, points)
    truth, outbox, unseen = await stores.truth(), await stores.outbox(), await stores.unseen()
    report = await _relay(stores)
    yield Aftermath(
        {name: code for name, (code, _) in ended.items()},
        {name: done for name, (_, done) in ended.items()},
        truth,
        outbox,
        unseen,
        report,
        await stores.truth(),
        await stores.outbox(),
        await stores.differences(),
    )


async def _all_children(stores: Stores, points: dict[str, Point]) -> dict[str, tuple[int, int]]:
    limit = asyncio.Semaphore(CHILDREN)

    async def one(name: str, point: Point) -> tuple[int, int]:
        async with limit:
            return await _child(stores, name, point)

    return dict(zip(points, await asyncio.gather(*(one(*item) for item in points.items())), strict=True))


async def _child(stores: Stores, name: str, point: Point) -> tuple[int, int]:
    """Run one child to its death; return its exit code and how many items it saw acknowledged."""
    task = {
        "stores": dataclasses.asdict(stores),
        "user_id": name,
        "work": point.work,
        "point": [point.store, point.moment, point.method, point.number],
        "rollback": point.rollback,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.child", json.dumps(task), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    return process.returncode or 0, int(out.split()[-1]) if out else 0


async def _relay(stores: Stores) -> dict[str, int]:
    """Work the outbox off as an operator does, in a process of its own; it waits for the leases of the dead."""
    environment = {
        **os.environ,
        "DIPTYCH_VECTOR_URL": stores.postgres,
        "DIPTYCH_SCHEMA_NAME": stores.schema,
        "DIPTYCH_GRAPH_URL": stores.neo4j,
        "DIPTYCH_EMBEDDING_DIMENSION": str(DIMENSION),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api.cli", "relay", "--json", stdout=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0
    report: dict[str, int] = json.loads(out)
    return report


@pytest.mark.parametrize("point", BULK)
def test_kill_in_the_middle_of_store_many(aftermath: Aftermath, point: str) -> None:
    """A process killed at any point of store_many loses nothing it was acknowledged, and leaves no doubt unseen."""
    assert aftermath.code[point] == -signal.SIGKILL
    acknowledged = aftermath.acknowledged[point]
    there = {key.id for key in aftermath.truth if key.user_id == point}
    assert acknowledged in range(BATCH, ITEMS + 1, BATCH)
    assert {draft(number)["id"] for number in range(acknowledged)} <= there
    assert len(there) in (acknowledged, acknowledged + BATCH)
    assert {key.id for key in aftermath.after if key.user_id == point} == there


def test_acknowledged_is_what_truth_had_said(aftermath: Aftermath) -> None:
    """At the points around the truth of the third batch, exactly two batches are acknowledged."""
    assert aftermath.acknowledged["before_truth"] == aftermath.acknowledged["after_truth"] == 2 * BATCH
    stored = [sum(key.user_id == point for key in aftermath.truth) for point in ("before_truth", "after_truth")]
    assert stored == [2 * BATCH, 3 * BATCH]


@pytest.mark.parametrize("point", SINGLE)
def test_kill_in_the_middle_of_one_write(aftermath: Aftermath, point: str) -> None:
    """A store, update, delete or rollback killed half-way is rolled forward: truth stays as it was left."""
    assert aftermath.code[point] == -signal.SIGKILL
    left = {key: value for key, value in aftermath.truth.items() if key.user_id == point}
    assert {key: value for key, value in aftermath.after.items() if key.user_id == point} == left


def test_a_rollback_killed_before_its_compensation_rolls_forward(aftermath: Aftermath) -> None:
    """The write whose undoing was cut off stays; one that was undone is back, or a tombstone."""
    shown = {
        point: {key.id: fragment.caption if fragment else None for key, (_, _, fragment) in aftermath.after.items()
                if key.user_id == point}
        for point in SINGLE
    }  # fmt: skip
    assert shown["undo_before_truth"]["m0001"] == "changed"
    assert shown["undo_after_truth"]["m0001"] == draft(1)["content"]
    assert shown["undo_of_a_new_one"]["m0007"] is None


def test_after_the_relay_everything_is_in_step(aftermath: Aftermath) -> None:
    """Before the relay every difference was listed; after it there is none, nothing twice, and the outbox is empty."""
    assert aftermath.unseen == []
    assert {entry["user_id"] for entry in aftermath.outbox} >= {"after_truth", "before_graph", "store_after_truth"}
    assert aftermath.differences == []
    assert aftermath.outbox_after == []
    assert (aftermath.report["dead"], aftermath.report["pending"]) == (0, 0)
