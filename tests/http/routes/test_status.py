"""`GET /persistence/status`: what it says, of whom, and how soon."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from api.access import READ
from api.dashboard.series import Backlog
from api.dashboard.views.overview import read_overview
from api.operating import Order, StatusBoard
from api.operating.counting import MOST_UNDER_WAY, Counting
from api.shapes import status_json
from persistence.errors import GraphUnavailableError, VectorStoreUnavailableError
from persistence.ports.runs import Depth, RunKind
from persistence.results import Count, HealthStatus
from sync import AsyncSyncService, Pace


async def test_what_the_command_line_says_and_more(client, memories, ada):
    """The status is the JSON of `diptych status`, and what only a process that stays knows: since when, last errors."""
    await client.post("/memories", json=ada)
    await memories.parts.settler.flush()
    said = (await client.get("/persistence/status")).json()
    sync = AsyncSyncService(memories)
    same = status_json(await memories.get_health(), await memories.get_stats(), await sync.get_stats())
    assert said["counts"] == same["counts"] == {side: {"value": 1, "exact": True} for side in ("vector", "graph")}
    assert (said["status"], said["outbox"], said["last_check"]) == ("healthy", same["outbox"], None)
    assert set(said) - set(same) == {"running"}
    for name, store in said["stores"].items():
        assert store["since"] <= said["checked_at"]
        more = {"since": store["since"], "last_error": None, "last_error_at": None}
        assert store == same["stores"][name] | more | {"latency_ms": store["latency_ms"]}


async def test_last_checks_by_depth(client):
    """The newest check of each depth is told with what it found; null where there was none of that depth."""
    for depth in ("quick", "full", "quick"):
        report = await client.post("/persistence/sync", json={"operation": "check", "depth": depth, "wait": True})
    said = (await client.get("/persistence/status")).json()["last_check"]
    assert said["quick"]["run_id"] == report.json()["run_id"]
    assert (said["quick"]["found"], said["structure"], said["full"]["complete"]) == (0, None, True)


async def test_one_tenant_sees_its_own_numbers(client, client_as, memories, bury, ada):
    """I9: of whoever may act for one tenant only, counts, outbox, checks and runs are that tenant's. Guard: `look`."""
    for user_id in ("u1", "u1", "u2"):
        await memories.store(**ada | {"user_id": user_id})
    for body in ({}, {"user_id": "u2"}):
        await client.post("/persistence/sync", json={"operation": "check", "wait": True} | body)
    await bury(**ada | {"user_id": "u2", "id": "dead"})
    mine = (await client_as(READ, "u1").get("/persistence/status")).json()
    assert [mine["counts"][side]["value"] for side in ("vector", "graph")] == [2, 2]
    assert (mine["status"], mine["outbox"]["dead"], mine["last_check"], mine["running"]) == ("healthy", 0, None, [])
    theirs = (await client_as(READ, "u2").get("/persistence/status")).json()
    assert (theirs["status"], theirs["outbox"]["dead"], theirs["last_check"]["quick"]["user_id"]) == (
        "degraded",
        1,
        "u2",
    )


@pytest.mark.parametrize(("side", "status", "code"), [("graph", "degraded", 200), ("truth", "unhealthy", 503)])
async def test_a_store_that_is_down(client, request, ada, side, status, code):
    """An unhealthy graph makes the whole degraded, an unhealthy truth unhealthy (503); counts of it are null, not 0."""
    await client.post("/memories", json=ada)
    before = (await client.get("/persistence/status")).json()
    store = request.getfixturevalue(side)
    store.down = {"graph": GraphUnavailableError, "truth": VectorStoreUnavailableError}[side]
    answer = await client.get("/persistence/status")
    name, said = {"graph": "graph", "truth": "vector"}[side], answer.json()
    assert (answer.status_code, said["status"]) == (code, status)
    away = said["stores"][name]
    assert (away["status"], away["available"], away["latency_ms"]) == ("unhealthy", False, None)
    assert (away["last_error"], away["last_error_at"], away["since"]) == (
        away["error"],
        said["checked_at"],
        said["checked_at"],
    )
    assert said["counts"][name] == {"value": None, "exact": False}
    store.down = None
    after = (await client.get("/persistence/status")).json()
    back = after["stores"][name]
    assert (after["status"], back["error"], back["last_error"]) == ("healthy", None, away["error"])
    assert before["stores"][name]["since"] < away["since"] < back["since"]
    assert after["counts"][name]["value"] == before["counts"][name]["value"] == 1


async def test_an_outage_that_nobody_asked_in(memories, graph):
    """A store that was away for a while is told as such afterwards, by one that nobody asked meanwhile."""
    board = StatusBoard(memories)
    board.watch(every=0.001)
    graph.down, begun = GraphUnavailableError, datetime.now(UTC)
    await looked_at(graph)
    graph.down, over = None, datetime.now(UTC)
    await looked_at(graph)
    state = (await board.look()).graph
    await board.close()
    assert (state.health.status, state.last_error) == (HealthStatus.HEALTHY, GraphUnavailableError().message)
    assert state.last_error_at is not None
    assert begun < state.last_error_at
    assert over < state.since


async def looked_at(store) -> None:
    """Wait until the store was looked at from beginning to end."""
    seen = store.heeded
    async with asyncio.timeout(60):
        while store.heeded < seen + 3:  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.001)


async def test_readiness_is_noted(client, truth):
    """What a probe finds out about the stores is known to the status, which nobody asked meanwhile."""
    truth.down = VectorStoreUnavailableError
    assert (await client.get("/readyz")).status_code == 503
    truth.down = None
    store = (await client.get("/persistence/status")).json()["stores"]["vector"]
    assert (store["status"], store["last_error"]) == ("healthy", VectorStoreUnavailableError().message)


async def test_first_screens_count_together(host, truth, ada):
    """Several first screens at once cost one count, as several looks at the status do."""
    await host.memories.store(**ada)
    seen = await asyncio.gather(*(read_overview(host, None, Backlog()) for _ in range(5)))
    assert {(one.truth_count.value, one.graph_count.value) for one in seen} == {(1, 1)}
    assert truth.counted < 5


async def test_truth_that_is_down_tells_nothing(client, truth):
    """Where truth is away, outbox, checks and runs are null."""
    truth.down = VectorStoreUnavailableError
    said = (await client.get("/persistence/status")).json()
    assert (said["outbox"], said["last_check"], said["running"]) == (None, None, None)


@pytest.mark.parametrize("side", ["graph", "truth"])
async def test_a_store_that_hangs(client, request, side):
    """A store that does not answer is waited for a moment, and told as unhealthy."""
    request.getfixturevalue(side).hangs = True
    started = time.perf_counter()
    answer = await client.get("/persistence/status")
    assert time.perf_counter() - started < 3.5
    assert (answer.status_code, answer.json()["status"]) == {"graph": (200, "degraded"), "truth": (503, "unhealthy")}[
        side
    ]


async def test_running_runs(client, host):
    """Runs that go on are told, and no longer when they have ended."""
    await host.memories.store_many([{"content": f"m {i}", "user_id": "u1"} for i in range(3)])
    run = await host.desk.begin(Order(RunKind.CHECK, depth=Depth.FULL, pace=Pace(rows_per_second=0.01)))
    said = (await client.get("/persistence/status")).json()["running"]
    assert [(one["run_id"], one["kind"]) for one in said] == [(str(run.id), "check")]
    await host.desk.close()
    assert (await client.get("/persistence/status")).json()["running"] == []


async def test_a_slow_count_keeps_nobody_waiting():
    """A count that takes its time is waited for the first time; later the former one stands in for it, not as exact."""
    gate, number = asyncio.Event(), 0

    async def count(user_id: str | None) -> Count:
        nonlocal number
        number += 1
        if number > 1:
            await gate.wait()
        return Count(number, exact=True)

    counting = Counting(count)
    assert await counting.get(None) == Count(1, exact=True)
    assert await asyncio.gather(*[counting.get(None) for _ in range(5)]) == [Count(1, exact=False)] * 5
    gate.set()
    assert await counting.get(None) == Count(2, exact=True)
    await counting.close()


async def test_counts_under_way_are_bounded():
    """No more than so many counts are under way, and closing ends them; a tenant beyond them gets null."""
    never = asyncio.Event()
    began: list[str | None] = []

    async def count(user_id: str | None) -> Count:
        began.append(user_id)
        await never.wait()
        raise AssertionError

    counting = Counting(count)
    asking = [asyncio.create_task(counting.get(f"u{i}")) for i in range(MOST_UNDER_WAY)]
    while len(began) < MOST_UNDER_WAY:  # noqa: ASYNC110  # a turn of the loop is all it takes
        await asyncio.sleep(0)
    assert await counting.get("one more") == Count(None, exact=False)
    await counting.close()
    assert await asyncio.gather(*asking) == [Count(None, exact=False)] * MOST_UNDER_WAY
