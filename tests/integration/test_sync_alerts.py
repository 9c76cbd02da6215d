"""Alerts: drift that appears, stays and goes is told once, to callables and to a webhook; no hook breaks a check."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from persistence import (
    AsyncPersistenceService,
    ConfigurationError,
    GraphUnavailableError,
    Key,
    SyncError,
    VectorStoreUnavailableError,
)
from persistence.ports.runs import Depth, Kind
from persistence.settings import PersistenceConfig
from sync import AsyncSyncService
from sync.alerts import Alert, Event, alert_json, configured_hooks
from sync.schedule import AutoSync
from sync.webhook import Webhook
from tests.faults import drifts
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, BOB, Stores
from tests.integration.auto_sync import QUICK_ONLY, Clock, Gate, fill
from tests.openai_server import Script, answer, openai_server, reset, status

SECRET = "T00-hunter2"  # noqa: S105  # made up
ALERT = Alert(
    Event.DRIFT_APPEARED, "It is so.", Depth.QUICK, None, True, {Kind.MISSING: 2, Kind.CONTENT: 1}, UUID(int=7),
    datetime(2026, 1, 31, 3, tzinfo=UTC), datetime(2026, 1, 31, 4, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[Script]:
    with openai_server() as script:
        script.url = script.url.replace("/v1", f"/{SECRET}/x?token={SECRET}")
        yield script


class Told(list[Alert]):
    """A hook that keeps what it is told."""

    async def hook(self, alert: Alert) -> None:
        self.append(alert)

    @property
    def events(self) -> list[str]:
        return [alert.event.value for alert in self]


async def check(memories: AsyncPersistenceService, clock: Clock, *hooks: Any) -> AutoSync:
    """Have a check made by a process that has just started."""
    clock.forward(minutes=16)
    auto = AutoSync(memories, hooks=hooks, clock=clock)
    await auto.turn()
    await auto._lead.give_back()
    assert auto.checks == 1
    return auto


async def damage(stores: Stores, *ids: str) -> None:
    await drifts.missing(stores, [Key(user_id, memory_id) for user_id in (ALICE, BOB) for memory_id in ids])


async def remind(stores: Stores) -> None:
    """Let the time between two reminders pass."""
    await stores.rows("UPDATE leases SET expires_at = clock_timestamp() WHERE name LIKE '%%-again'")


# --- what is told -----------------------------------------------------------------------------------------------


async def test_drift_is_told_when_it_appears_while_it_stays_and_when_it_is_gone(stores: Stores, clock: Clock) -> None:
    """Each is told once, though every check is made by a process that has just started; reminders come once a while."""
    told = Told()
    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        sync = AsyncSyncService(memories)
        await check(memories, clock, told.hook)
        assert told.events == []

        await damage(stores, "m0001", "m0002")
        await check(memories, clock, told.hook)
        (alert,) = told
        (newest,) = await sync.list_runs(limit=1)
        oldest = (await sync.list_inconsistencies(limit=1))[0].first_seen
        assert alert == Alert(
            Event.DRIFT_APPEARED, "The graph is not in step with truth: 4 inconsistencies.", Depth.QUICK, None, True,
            {Kind.MISSING: 4}, newest.id, oldest, newest.finished_at,
        )  # fmt: skip
        assert alert.found == 4

        for _ in range(3):
            await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared"]
        await remind(stores)
        for _ in range(2):
            await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared", "drift_stays"]
        assert told[-1].first_seen == oldest

        await sync.repair_inconsistencies(dry_run=False)
        for _ in range(2):
            await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared", "drift_stays", "drift_gone"]
        assert (told[-1].found, told[-1].first_seen) == (0, None)

        await damage(stores, "m0003")
        await check(memories, clock, told.hook)
        assert told.events[3:] == ["drift_appeared"]


async def test_a_check_by_hand_is_told_too(stores: Stores, clock: Clock) -> None:
    """Someone repairs and checks by hand: that the drift is gone is told without waiting for the schedule."""
    told = Told()
    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        auto = AutoSync(memories, hooks=[told.hook], clock=clock)
        await auto.turn()
        sync = AsyncSyncService(memories)
        await sync.repair_inconsistencies(dry_run=False)
        await auto.turn()
        assert told.events == ["drift_appeared"]
        await sync.check_consistency()
        await auto.turn()
        assert told.events == ["drift_appeared", "drift_gone"]
        assert auto.checks == 1


async def test_what_only_a_deeper_check_sees_does_not_go_by_a_quick_one(stores: Stores, clock: Clock) -> None:
    """Edges that are missing stay an open drift until a check looks at edges again."""
    told = Told()
    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await stores.cypher("MATCH (:DiptychMemory {user_id: $u, id: 'm0001'})-[r:MENTIONS]->() DELETE r", u=ALICE)
        await AsyncSyncService(memories).check_consistency(Depth.STRUCTURE)
        await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared"]
        assert set(told[0].counts) == {Kind.EDGE_MISSING}
        await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared"]
        await AsyncSyncService(memories).repair_inconsistencies(Depth.STRUCTURE, dry_run=False)
        await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared", "drift_gone"]


async def test_an_emptied_graph_is_told_in_full(stores: Stores, clock: Clock) -> None:
    """What was counted and not listed is counted in the alert."""
    told = Told()
    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories, 510)
        await stores.cypher("MATCH (n:DiptychMemory|DiptychEntity) DETACH DELETE n")
        await check(memories, clock, told.hook)
        assert [alert.counts for alert in told] == [{Kind.MISSING: 1_020}]


async def test_checks_that_stay_incomplete_are_told(stores: Stores, clock: Clock) -> None:
    """Three incomplete checks in a row are told, once in a while; and that a check is complete again."""
    told, graph = Told(), Hooked(stores.graph())
    async with stores.service(graph=graph, **QUICK_ONLY) as memories:
        await fill(memories)
        await check(memories, clock, told.hook)
        graph.before["bucket_sums"] = failing(GraphUnavailableError())
        for expected in (0, 0, 1, 1):
            await check(memories, clock, told.hook)
            assert len(told) == expected
        assert (told[0].event, told[0].complete, told[0].counts) == (Event.CHECKS_INCOMPLETE, False, {})
        await remind(stores)
        await check(memories, clock, told.hook)
        del graph.before["bucket_sums"]
        await _reachable(memories)
        for _ in range(2):
            await check(memories, clock, told.hook)
        assert told.events == ["checks_incomplete", "checks_incomplete", "checks_complete"]


async def _reachable(memories: AsyncPersistenceService) -> None:
    assert await memories.parts.graph.probe(10)


async def test_an_incomplete_check_says_nothing_of_drift_that_is_gone(stores: Stores, clock: Clock) -> None:
    """What could not be read is not in step: drift is gone only when a complete check says so."""
    told, graph = Told(), Hooked(stores.graph())
    async with stores.service(graph=graph, **QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        await check(memories, clock, told.hook)
        await AsyncSyncService(memories).repair_inconsistencies(dry_run=False)
        graph.before["bucket_sums"] = failing(GraphUnavailableError())
        await check(memories, clock, told.hook)
        assert told.events == ["drift_appeared"]


async def test_the_policy_none_tells_nobody(stores: Stores, clock: Clock) -> None:
    """Under `none` a check is in the record, and nothing else happens."""
    told = Told()
    async with stores.service(**QUICK_ONLY, sync_policy="none") as memories:
        await fill(memories)
        await damage(stores, "m0001")
        await check(memories, clock, told.hook)
        assert told == []


# --- hooks ------------------------------------------------------------------------------------------------------


async def test_a_hook_may_block_a_thread(stores: Stores, clock: Clock) -> None:
    """A hook that is no coroutine function runs in a thread, and the loop goes on meanwhile."""
    threads = []
    loop, waited = asyncio.get_running_loop(), threading.Event()

    def hook(_: Alert) -> None:
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(waited.set)
        assert waited.wait(10)

    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        await check(memories, clock, hook)
    assert threads
    assert threading.main_thread() not in threads


async def test_a_hook_that_fails_breaks_nothing(stores: Stores, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """What a hook raises is logged; the check is done, and the other hooks are told, once."""
    told = Told()

    def broken(_: Alert) -> None:
        raise RuntimeError("no pager")

    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        auto = await check(memories, clock, broken, told.hook)
        assert (auto.failed, told.events) == (0, ["drift_appeared"])
        await check(memories, clock, broken, told.hook)
        assert told.events == ["drift_appeared"]
    assert "A hook for alerts failed." in caplog.messages
    assert "no pager" in caplog.text


async def test_what_nobody_took_is_told_again(stores: Stores, clock: Clock) -> None:
    """Where every hook failed, the next check tells it again, as if for the first time; each event alike."""
    told = Told()

    def broken(_: Alert) -> None:
        raise RuntimeError("no pager")

    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        for hook in (broken, told.hook):
            await check(memories, clock, hook)
        await remind(stores)
        for hook in (broken, told.hook):
            await check(memories, clock, hook)
        await AsyncSyncService(memories).repair_inconsistencies(dry_run=False)
        for hook in (broken, told.hook):
            await check(memories, clock, hook)
    assert told.events == ["drift_appeared", "drift_stays", "drift_gone"]


async def test_a_process_that_ends_while_it_tells_has_not_told(stores: Stores, clock: Clock) -> None:
    """Where the schedule is closed in the middle of a hook, the next process tells it."""
    told, gate = Told(), Gate()

    async def slow(_: Alert) -> None:
        await gate(0)

    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        async with AutoSync(memories, hooks=[slow], clock=clock):
            await gate.came.wait()
        await AutoSync(memories, hooks=[told.hook], clock=clock).turn()
    assert told.events == ["drift_appeared"]


async def test_closing_does_not_hang_where_truth_is_away(stores: Stores, clock: Clock) -> None:
    """Closed in the middle of a hook while truth cannot be reached, the schedule ends all the same."""
    vector, gate = Hooked(stores.vector()), Gate()

    async def slow(_: Alert) -> None:
        await gate(0)

    async with stores.service(vector=vector, **QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        async with AutoSync(memories, hooks=[slow], clock=clock):
            await gate.came.wait()
            vector.before["let_go"] = failing(VectorStoreUnavailableError())
        assert vector.calls["let_go"] > 1


async def test_a_hook_that_cancels_itself_breaks_nothing(stores: Stores, clock: Clock) -> None:
    """A hook whose own work is cancelled has not taken the alert; the other hooks, the check and the schedule go on."""
    told, gate = Told(), Gate()

    async def cancelled(_: Alert) -> None:
        gate.go.set()
        raise asyncio.CancelledError

    async def later(alert: Alert) -> None:
        await gate(0)
        for _ in range(20):  # turns of the loop: what the other's end does to this one, it does within them
            await asyncio.sleep(0)
        await told.hook(alert)

    async with stores.service(**QUICK_ONLY) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        assert (await check(memories, clock, cancelled)).failed == 0
        gate.go.clear()
        assert (await check(memories, clock, cancelled, later)).failed == 0
    assert told.events == ["drift_appeared"]


# --- the webhook ------------------------------------------------------------------------------------------------


async def test_the_webhook_of_the_settings_is_told(
    stores: Stores, clock: Clock, server: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL of the settings gets what is documented, and no log shows that URL, however much is logged."""
    caplog.set_level(logging.DEBUG)
    server.then(status(503), status(204))
    async with stores.service(**QUICK_ONLY, sync_webhook_url=server.url) as memories:
        await fill(memories)
        await damage(stores, "m0001")
        await check(memories, clock)
        (run,) = await AsyncSyncService(memories).list_runs()
    first, second = server.requests
    assert first.body == second.body
    assert first.path == f"/{SECRET}/x?token={SECRET}"
    told = {"event": "drift_appeared", "depth": "quick", "user_id": None, "complete": True, "found": 2}
    assert first.body.items() >= told.items()
    assert (first.body["counts"], first.body["run_id"]) == ({"missing_in_graph": 2}, str(run.id))
    assert "m0001" not in str(first.body)
    assert any(record.name == "httpx" for record in caplog.records)
    assert SECRET not in caplog.text
    assert all(SECRET not in str(record.__dict__) for record in caplog.records)


class Waits(list[float]):
    """Stands in for sleeping: notes how long it would have been."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


async def _post(server: Script, waits: Waits) -> None:
    await Webhook(SecretStr(server.url), sleep=waits.sleep)(ALERT)


async def test_the_payload(server: Script) -> None:
    """The payload is the documented JSON."""
    await _post(server.then(answer("ok")), Waits())
    assert server.requests[0].body == alert_json(ALERT) == {
        "event": "drift_appeared", "text": "It is so.", "depth": "quick", "user_id": None, "complete": True, "found": 3,
        "counts": {"content_mismatch": 1, "missing_in_graph": 2}, "run_id": str(UUID(int=7)),
        "first_seen": "2026-01-31T03:00:00.000000Z", "at": "2026-01-31T04:00:00.000000Z",
    }  # fmt: skip
    assert server.requests[0].headers["Content-Type"] == "application/json"


async def test_a_webhook_that_is_out_of_order_is_tried_again(server: Script) -> None:
    """What may go well later is repeated, not before the server's own time; what is taken is not sent again."""
    waits = Waits()
    await _post(server.then(status(429, Retry_After="7"), reset, status(500), status(202, b"{}")), waits)
    assert len(server.requests) == 4
    assert waits[0] >= 7
    assert len(waits) == 3


async def test_a_webhook_that_stays_out_of_order_is_given_up(server: Script) -> None:
    """After five attempts it is an error, without the URL in it."""
    server.then(*[status(500, SECRET.encode())] * 9)
    with pytest.raises(SyncError, match="answered 500") as caught:
        await _post(server, Waits())
    assert len(server.requests) == 5
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("code", [400, 401, 404, 410, 301, 302, 307])
async def test_a_webhook_that_refuses_is_not_asked_again(server: Script, code: int) -> None:
    """A refusal is final, and nothing is sent to wherever a redirection points."""
    with pytest.raises(SyncError, match=f"answered {code}") as caught:
        await _post(server.then(status(code, Location="/elsewhere")), Waits())
    assert len(server.requests) == 1
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_webhook_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody answers, the error says so without the URL."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SyncError, match="gave no answer") as caught:
        await Webhook(SecretStr(f"http://127.0.0.1:1/{SECRET}"), sleep=Waits().sleep)(ALERT)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in caplog.text


@pytest.mark.parametrize("url", ["ftp://x/T00-hunter2", "T00-hunter2", "http://x:T00-hunter2/", "http:///T00-hunter2"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A webhook's URL that cannot be one is refused, without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        Webhook(SecretStr(url))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without httpx, a webhook in the settings is an error that says what to install; without one nothing is missed."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "sync.webhook", raising=False)
    assert configured_hooks(PersistenceConfig()) == []
    with pytest.raises(ConfigurationError, match="httpx") as caught:
        configured_hooks(PersistenceConfig(sync_webhook_url="https://example.com/x"))
    assert caught.value.hint == 'pip install "diptych[openai]"'
