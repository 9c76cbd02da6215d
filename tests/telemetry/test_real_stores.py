"""On a real Postgres and a real Neo4j: what metrics, traces and lines say of a store, an outage, a relay, a drift."""

from __future__ import annotations

import math
from typing import Any

import pytest

from persistence import Key, Outcome
from sync import AsyncSyncService
from tests.faults import drifts
from tests.faults.stores import ALICE, Stores, draft, until
from tests.telemetry.conftest import Telemetry, watched

# As in tests/faults: the driver of Neo4j leaves a socket to the garbage collector when connecting is cancelled.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(socket|_SelectorSocketTransport|StreamWriter|function):"
    "pytest.PytestUnraisableExceptionWarning"
)


async def test_a_store(stores: Stores, seen: Telemetry) -> None:
    """A memory that both stores took is one write in step, with the time of truth, of the graph and of settling."""
    async with watched(stores, seen.observer) as memories:
        await memories.store(**draft(1))
        await memories.drain()
        found = await seen.look(memories)
        assert found["diptych_writes_total", "store", "in_step"] == 1
        for part, operation in (("truth", "write"), ("graph", "apply"), ("truth", "settle")):
            assert found["diptych_store_call_duration_seconds_count", operation, part] == 1
            assert 0 < found["diptych_store_call_duration_seconds_sum", operation, part] < 5
        assert found["diptych_store_up", "truth"] == found["diptych_store_up", "graph"] == 1
        assert 0 < found["diptych_store_ping_seconds", "graph"] < 2
        assert found["diptych_outbox_entries", "pending"] == found["diptych_outbox_oldest_age_seconds",] == 0
        assert found["diptych_pool_connections", "limit", "truth"] == 8
        assert 1 <= found["diptych_pool_connections", "idle", "truth"] <= 8
        assert found["diptych_pool_waiting", "truth"] == 0
        assert ("diptych_pool_connections", "limit", "graph") not in found, "this driver does not say"
    (line,) = seen.lines("store")
    assert (line["outcome"], line["memory_id"], line["user_id"]) == ("in_step", "m0001", ALICE)
    assert 0 < line["truth_ms"] < line["duration_ms"]
    assert 0 < line["graph_ms"] < line["duration_ms"]


async def test_spans_follow_the_conventions_of_databases(stores: Stores, seen: Telemetry) -> None:
    """A store is one span with an attempt on each store below it, named and described as the conventions say."""
    async with watched(stores, seen.observer) as memories:
        seen.exporter.clear()
        await memories.store_many([draft(number) for number in range(5)])
    by_name = {span.name.split()[0]: span for span in seen.spans}
    whole, truth, graph = by_name["diptych.store_many"], by_name["write_many"], by_name["apply"]
    assert truth.parent is not None
    assert whole.context is not None
    assert truth.parent.span_id == graph.parent.span_id == whole.context.span_id  # type: ignore[union-attr]
    assert truth.kind.name == graph.kind.name == "CLIENT"
    said = dict(truth.attributes or {})
    assert said["db.system.name"] == "postgresql"
    assert said["db.operation.name"] == "write_many"
    assert said["db.operation.batch.size"] == 5
    assert str(said["db.namespace"]).endswith(f"|{stores.schema}")
    assert truth.name == f"write_many {said['db.namespace']}"
    assert "server.address" in said
    said = dict(graph.attributes or {})
    assert (said["db.system.name"], said["server.address"]) == ("neo4j", "127.0.0.1")
    assert isinstance(said["server.port"], int)


async def test_an_outage_and_the_relay(own: Stores, neo4j_server: Any, seen: Telemetry) -> None:
    """The graph goes away and comes back: pending writes, failed attempts, the breaker, doubt and its age."""
    async with watched(own, seen.observer, write_timeout=2.0) as memories:
        assert (await memories.store(**draft(0))).outcome is Outcome.IN_STEP
        before = await seen.look(memories)
        assert before["diptych_breaker_changes_total", "open"] == 0
        await neo4j_server.stop()
        try:
            for number in range(1, 4):
                assert (await memories.store(**draft(number))).outcome is Outcome.PENDING
            away = await seen.look(memories)
        finally:
            await neo4j_server.start()
        assert away["diptych_writes_total", "store", "pending"] == 3
        assert away["diptych_writes_total", "store", "in_step"] == 1
        assert away["diptych_store_up", "graph"] == 0
        assert away["diptych_store_up", "truth"] == 1
        assert ("diptych_store_ping_seconds", "graph") not in away
        assert away["diptych_breaker_open",] == 1
        assert away["diptych_breaker_changes_total", "open"] == 1
        assert away["diptych_outbox_entries", "pending"] == 3
        assert away["diptych_outbox_oldest_age_seconds",] > 0
        assert away["diptych_store_call_failures_total", "GraphUnavailableError", "apply", "graph"] >= 1
        assert away["diptych_retries_total", "GraphUnavailableError", "graph"] >= 1
        assert math.isnan(away["diptych_relay_last_success_timestamp_seconds",])

        async def drained() -> bool:
            return (await memories.drain()).pending == 0

        await until(drained, what="the relay works the outbox off")
        back = await seen.look(memories)
        assert back["diptych_relay_entries_total", "applied"] == 3
        assert back["diptych_relay_entries_total", "dead"] == 0
        assert back["diptych_relay_batch_duration_seconds_count",] >= 1
        assert back["diptych_relay_last_success_timestamp_seconds",] > 1.7e9
        assert back["diptych_outbox_entries", "pending"] == back["diptych_outbox_oldest_age_seconds",] == 0
        assert back["diptych_breaker_open",] == 0
        assert back["diptych_breaker_changes_total", "closed"] == 1
        assert back["diptych_store_up", "graph"] == 1
    outcomes = [line["outcome"] for line in seen.lines("store")]
    assert outcomes == ["in_step", "pending", "pending", "pending"]
    assert sum(line["applied"] for line in seen.lines("relay_batch")) == 3
    failed = [span for span in seen.spans if (span.attributes or {}).get("error.type") == "GraphUnavailableError"]
    assert failed
    assert all(span.status.status_code.name == "ERROR" and not span.status.description for span in failed)


async def test_a_check_with_drift(stores: Stores, seen: Telemetry) -> None:
    """What a check finds is counted by kind and open until a repair; both runs have their lines and spans."""
    async with watched(stores, seen.observer) as memories:
        await memories.store_many([draft(number) for number in range(9)])
        await memories.drain()
        await drifts.missing(stores, [Key(ALICE, "m0001"), Key(ALICE, "m0002")])
        await drifts.stale(stores, [Key(ALICE, "m0003")])
        sync = AsyncSyncService(memories)
        assert not (await sync.check_consistency()).in_step
        found = await seen.look(memories)
        assert found["diptych_run_inconsistencies_total", "missing_in_graph"] == 2
        assert found["diptych_run_inconsistencies_total", "stale_in_graph"] == 1
        assert found["diptych_inconsistencies_open", "missing_in_graph"] == 2
        assert found["diptych_inconsistencies_open", "stale_in_graph"] == 1
        assert found["diptych_inconsistencies_open", "orphan_in_graph"] == 0
        assert found["diptych_check_last_inconsistencies", "quick"] == 3
        assert found["diptych_runs_total", "quick", "check", "done"] == 1
        await sync.repair_inconsistencies(dry_run=False)
        assert (await sync.check_consistency()).in_step
        found = await seen.look(memories)
        assert found["diptych_inconsistencies_open", "missing_in_graph"] == 0
        assert found["diptych_check_last_inconsistencies", "quick"] == 0
        assert found["diptych_runs_total", "quick", "repair", "done"] == 1
        assert found["diptych_runs_total", "quick", "check", "done"] == 2
    (first, second), (repair,) = seen.lines("check"), seen.lines("repair")
    assert first["found"] == {"missing_in_graph": 2, "stale_in_graph": 1}
    assert (second["found"], second["level"], first["level"]) == ({}, "info", "warning")
    assert repair["outcome"] == "done"
    (span,) = [span for span in seen.spans if span.name == "diptych.repair"]
    assert (span.attributes or {})["diptych.run.found.missing_in_graph"] == 2
