"""`/persistence/sync`, its runs and their events, the outbox and the inconsistencies, on stores in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from api.access import ADMIN, READ, WRITE
from api.operating import Order
from persistence.ports.runs import Depth, RunKind, RunState
from sync import Pace
from sync.reports import run_json, stats_json
from tests.http.routes.conftest import memory

SYNC = "/persistence/sync"
#: A check that is not done before somebody stops it.
ENDLESS = Order(RunKind.CHECK, depth=Depth.FULL, pace=Pace(rows_per_second=0.01))


@pytest.fixture
async def some(client) -> None:
    """Store three memories of u1 and one of u2."""
    many = [memory(f"memory {i}", id=f"m{i}") for i in range(3)]
    await client.post("/memories/batch", json={"memories": [*many, memory("theirs", id="t") | {"user_id": "u2"}]})


@pytest.mark.parametrize("operation", ["check", "repair", "full", "rebuild"])
@pytest.mark.parametrize("dry_run", [None, False])
async def test_report_that_is_waited_for(client, host, some, operation, dry_run):
    """With ``wait`` the report comes with 200: the one that is kept with the run, dry unless it is said otherwise."""
    body = {"operation": operation, "wait": 20} | ({} if dry_run is None else {"dry_run": dry_run})
    answer = await client.post(SYNC, json=body)
    run = await host.sync.get_run(UUID(answer.json()["run_id"]))
    assert (answer.status_code, answer.json()) == (200, run.report)
    assert answer.headers["Location"] == f"{SYNC}/runs/{run.id}"
    assert run.request["dry_run"] is (operation != "check" and dry_run is None)


async def test_plan_of_a_rebuild(client, some):
    """A rebuild's plan tells the memories that truth has; what it did not count is null."""
    body = {"operation": "rebuild", "wait": 20}
    plan = (await client.post(SYNC, json=body)).json()
    assert (plan["complete"], plan["memories"], plan["exact"]) == (True, 4, True)
    unknown = ("nodes", "edges", "removed", "refused", "pending", "extracted")
    assert {name: plan[name] for name in unknown} == dict.fromkeys(unknown)
    done = (await client.post(SYNC, json=body | {"dry_run": False})).json()
    assert (done["memories"], done["exact"], done["edges"], done["removed"]) == (4, True, 0, 0)


async def test_plan_of_a_rebuild_without_truth(client, truth, some):
    """Where truth cannot be counted, the plan is incomplete, and its number null, never 0."""
    truth.count_down = True
    run = (await client.post(SYNC, json={"operation": "rebuild", "wait": 20})).json()
    plan = run["report"]
    assert (run["state"], plan["complete"], plan["memories"], plan["exact"]) == ("interrupted", False, None, False)


async def test_run_that_waits_for_its_pace_is_stopped(client, some):
    """A run at a slow pace sees within moments that it is to stop, and does not wait a page's time for that."""
    order = {"operation": "check", "rows_per_second": 0.01}
    run = (await client.post(SYNC, json=order)).json()
    where = f"{SYNC}/runs/{run['run_id']}"
    await client.post(f"{where}/cancel")
    async with asyncio.timeout(60):
        async with client.stream("GET", f"{where}/events") as events:
            assert "cancelled" in "".join([text async for text in events.aiter_text()])


async def test_run_that_is_not_waited_for(client, host, some):
    """Without ``wait`` the run comes with 202 and a Location, where it is found, as the command line prints it."""
    answer = await client.post(SYNC, json={"operation": "check", "user_id": "u1", "limit": 7})
    assert (answer.status_code, answer.json()["request"]["limit"]) == (202, 7)
    ended = await host.desk.ended(UUID(answer.json()["run_id"]), within=20)
    assert (await client.get(answer.headers["Location"])).json() == run_json(ended)
    assert ended.state is RunState.DONE


async def test_run_in_the_way(client, host, some):
    """Where a run of the kind is under way it is 409, and the problem holds that run; not that of another tenant."""
    run = await host.desk.begin(ENDLESS)
    answer = await client.post(SYNC, json={"operation": "check", "wait": True})
    assert (answer.status_code, answer.json()["run"]["run_id"]) == (409, str(run.id))


async def test_run_of_another_in_the_way(client_as, host, some):
    """I9: a run of all tenants is in the way of one tenant's, which is not told of it. Guard: the problem's `run`."""
    await host.desk.begin(ENDLESS)
    answer = await client_as(ADMIN, "u1").post(SYNC, json={"operation": "check"})
    assert (answer.status_code, "run" in answer.json()) == (409, False)


async def test_the_same_order_under_a_key(client, some):
    """The same order under the same key means the first run, under way or ended; without a key it is another one."""
    order, key = {"operation": "check", "wait": True}, {"Idempotency-Key": "k"}
    first, second = [await client.post(SYNC, json=order, headers=key) for _ in range(2)]
    third = await client.post(SYNC, json=order)
    assert first.json() == second.json()
    assert third.json()["run_id"] != first.json()["run_id"]
    assert len((await client.get(f"{SYNC}/runs")).json()["runs"]) == 2


async def test_the_same_order_at_once(client, some):
    """Of the same order given many times at once under one key, one run comes."""
    order, key = {"operation": "rebuild", "dry_run": False}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*[client.post(SYNC, json=order, headers=key) for _ in range(8)])
    assert len({answer.headers["Location"] for answer in answers}) == 1


@pytest.mark.parametrize("other", [{"dry_run": False}, {"operation": "full"}, {"user_id": "u1"}, {"limit": 3}])
async def test_another_order_under_a_key(client, some, other):
    """Another order under the same key is 422."""
    order, key = {"operation": "repair", "wait": True}, {"Idempotency-Key": "k"}
    await client.post(SYNC, json=order, headers=key)
    answer = await client.post(SYNC, json=order | other, headers=key)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operation": "move"},
        {"operation": "check", "limit": 0},
        {"operation": "check", "limit": 1_001},
        {"operation": "check", "depth": "deep"},
        {"operation": "check", "wait": 61},
        {"operation": "check", "wait": "true"},
        {"operation": "rebuild", "clear_existing": True},
        {"operation": "check", "ids": ["a"]},
    ],
)
async def test_orders_that_cannot_be_carried_out(client, body):
    """What is missing, unknown, out of bounds or does not go together is 422, and no run is begun."""
    assert (await client.post(SYNC, json=body)).status_code == 422
    assert (await client.get(f"{SYNC}/runs")).json() == {"runs": [], "next": None}


async def test_statistics(client, client_as, host, some):
    """Statistics are those of the command line; of one tenant its own."""
    for user_id in (None, "u1"):
        await client.post(SYNC, json={"operation": "check", "user_id": user_id, "wait": True})
    await host.memories.parts.settler.flush()
    assert (await client.get(SYNC)).json() == stats_json(await host.sync.get_stats())
    mine, theirs = [(await client_as(ADMIN, user_id).get(SYNC)).json() for user_id in ("u1", "u2")]
    assert [point["user_id"] for point in mine["drift"]] == ["u1"]
    assert (theirs["drift"], theirs["last_checks"], theirs["open"], theirs["running"]) == ([], {}, None, [])


async def test_runs_are_gone_through(client, client_as, some):
    """Runs are listed newest first, by pages and filters; of one tenant its own."""
    for user_id in (None, "u1", "u2", "u1"):
        await client.post(SYNC, json={"operation": "check", "user_id": user_id, "wait": True})
    first = (await client.get(f"{SYNC}/runs?limit=3")).json()
    rest = (await client.get(f"{SYNC}/runs", params={"limit": 3, "after": first["next"]})).json()
    found = [*first["runs"], *rest["runs"]]
    assert ([run["user_id"] for run in found], rest["next"]) == (["u1", "u2", "u1", None], None)
    assert len((await client_as(ADMIN, "u1").get(f"{SYNC}/runs")).json()["runs"]) == 2
    assert (await client.get(f"{SYNC}/runs?kind=repair")).json()["runs"] == []
    assert (await client.get(f"{SYNC}/runs?state=running")).json()["runs"] == []


async def test_runs_of_others_are_not_there(client, client_as, some):
    """I9: for one tenant a run of another, or of all tenants, is 404, as one that never was. Guard: `_mine`."""
    for user_id in (None, "u2"):
        run = (await client.post(SYNC, json={"operation": "check", "user_id": user_id, "wait": True})).json()["run_id"]
        mine = client_as(ADMIN, "u1")
        for path in (f"{SYNC}/runs/{run}", f"{SYNC}/runs/{run}/events"):
            assert (await mine.get(path)).status_code == 404
        for action in ("cancel", "resume"):
            assert (await mine.post(f"{SYNC}/runs/{run}/{action}")).status_code == 404


async def test_cancel_and_resume(client, host, some):
    """A run is asked to stop, says so when it is asked again, stops, and is taken up again."""
    slow = Order(RunKind.REBUILD, dry_run=False, pace=Pace(rows_per_second=8))
    run = await host.desk.begin(slow)
    where = f"{SYNC}/runs/{run.id}"
    assert [(await client.post(f"{where}/cancel")).json()["status"] for _ in range(2)] == [
        "requested",
        "already_requested",
    ]
    ended = await host.desk.ended(run.id, within=20)
    assert (ended.state, (await client.post(f"{where}/cancel")).json()["status"]) == (
        RunState.CANCELLED,
        "already_cancelled",
    )
    again = await client.post(f"{where}/resume")
    assert (again.status_code, again.headers["Location"]) == (202, where)
    assert (await host.desk.ended(ended.id, within=20)).state is RunState.DONE
    assert (await client.post(f"{where}/resume")).status_code == 409


def told(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, comments left out."""
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":") for block in text.split("\r\n\r\n")
    ]
    return [block | {"data": json.loads(block["data"])} for block in blocks if "data" in block]


async def test_events_of_a_run(client, host, some):
    """A run's events say how far it is, each with an id, and last the run as it ended."""
    run = await host.desk.begin(Order(RunKind.REBUILD, dry_run=False, pace=Pace(rows_per_second=8)))
    answer = await client.get(f"{SYNC}/runs/{run.id}/events")
    *before, last = told(answer.text)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert {event["event"] for event in before} == {"progress"}
    assert [event["id"] for event in before] == [str(number + 1) for number in range(len(before))]
    assert before[0]["data"]["run_id"] == str(run.id)
    assert (last["event"], last["id"], last["data"]) == ("done", "done", run_json(await host.sync.get_run(run.id)))


async def test_events_of_a_run_that_has_ended(client, some):
    """Of a run that has ended the end is told; who has heard it gets 204, and does not come again."""
    run = (await client.post(SYNC, json={"operation": "check", "wait": True})).json()["run_id"]
    (last,) = told((await client.get(f"{SYNC}/runs/{run}/events")).text)
    assert last["event"] == "done"
    heard = await client.get(f"{SYNC}/runs/{run}/events", headers={"Last-Event-ID": "done"})
    assert (heard.status_code, heard.content) == (204, b"")


async def test_no_such_run(client):
    """A run that never was is 404, an id that is none 422."""
    run = "01a1fdd9-c40f-78b4-942e-8aa1788b2dc1"
    assert (await client.get(f"{SYNC}/runs/{run}")).status_code == 404
    assert (await client.get(f"{SYNC}/runs/{run}/events")).status_code == 404
    assert (await client.get(f"{SYNC}/runs/nothing")).status_code == 422


async def test_outbox_is_gone_through(client, client_as, bury, graph, some):
    """Entries are listed by pages in the order of (user_id, id), pending or dead; of one tenant its own."""
    for number in range(3):
        await bury(**memory("x", id=f"dead/{number}"))
    await bury(**memory("x", id="dead/0") | {"user_id": "u2"})
    seen, after = [], {}
    while True:
        page = (await client.get("/persistence/outbox", params={"state": "dead", "limit": 2} | after)).json()
        seen += [(entry["user_id"], entry["id"]) for entry in page["entries"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [("u1", "dead/0"), ("u1", "dead/1"), ("u1", "dead/2"), ("u2", "dead/0")]
    assert len((await client_as(ADMIN, "u2").get("/persistence/outbox")).json()["entries"]) == 1
    assert (await client.get("/persistence/outbox?state=pending")).json()["entries"] == []


async def test_dead_entry_tried_again(client, host, bury):
    """A dead entry is tried again, and the second time there is nothing to try; an id may hold slashes."""
    await bury(**memory("x", id="a/b/discard"))
    where = "/persistence/outbox/a%2Fb%2Fdiscard/retry"
    first, second = [(await client.post(where, params={"user_id": "u1"})).json()["status"] for _ in range(2)]
    assert (first, second) == ("retried", "already_retried")
    assert (await host.memories.drain()).applied == 1


@pytest.mark.parametrize("action", ["retry", "discard"])
async def test_entry_that_never_was(client, host, action):
    """Where nothing is known of a memory it is 404; where it is in step, or was deleted, there is nothing to do."""
    stored = await host.memories.store("x", user_id="u1", id="m")
    where = f"/persistence/outbox/{stored.id}/{action}"
    there = await client.post(where, params={"user_id": "u1"})
    await host.memories.delete("m", user_id="u1")
    gone = await client.post(where, params={"user_id": "u1"})
    never = await client.post(where, params={"user_id": "u2"})
    assert [answer.status_code for answer in (there, gone, never)] == [200, 200, 404]
    assert never.json()["type"] == "urn:diptych:problem:memory-not-found"


async def test_dead_entry_given_up(client, bury):
    """A dead entry that is given up becomes an open inconsistency."""
    await bury(**memory("x", id="a/b"))
    where = "/persistence/outbox/a/b/discard?user_id=u1"
    assert [(await client.post(where)).json()["status"] for _ in range(2)] == ["discarded", "already_gone"]
    found = (await client.get("/persistence/inconsistencies")).json()
    assert [(one["kind"], one["memory_id"]) for one in found["inconsistencies"]] == [("discarded", "a/b")]


async def test_inconsistencies_are_gone_through(client, client_as, bury):
    """Inconsistencies are listed by pages and filters; of one tenant its own."""
    for user_id in ("u1", "u1", "u2"):
        key = await bury(**memory("x") | {"user_id": user_id})
        await client.post(f"/persistence/outbox/{key.id}/discard", params={"user_id": user_id})
    path = "/persistence/inconsistencies"
    first = (await client.get(f"{path}?limit=2")).json()
    rest = (await client.get(path, params={"limit": 2, "after": first["next"]})).json()
    assert ([one["user_id"] for one in first["inconsistencies"]], rest["next"]) == (["u1", "u1"], None)
    assert [one["user_id"] for one in rest["inconsistencies"]] == ["u2"]
    for asked in ("kind=stale_in_graph", "state=resolved", "user_id=u3"):
        assert (await client.get(f"{path}?{asked}")).json()["inconsistencies"] == []
    assert len((await client_as(ADMIN, "u1").get(f"{path}?state=all")).json()["inconsistencies"]) == 2


async def test_looking_needs_no_more_than_reading(client_as, bury, host, some):
    """With the scope read all that is known of the stores is seen, as on the dashboard; of one tenant its own alone."""
    await bury(**memory("x", id="dead"))
    run = await host.desk.begin(Order(RunKind.CHECK, user_id="u2"))
    await host.desk.ended(run.id, within=20)
    everyone, mine, theirs = client_as(READ), client_as(READ, "u1"), client_as(READ, "u2")
    for path in (SYNC, f"{SYNC}/runs", "/persistence/outbox", "/persistence/inconsistencies"):
        assert (await everyone.get(path)).status_code == 200
        assert (await mine.get(path, params={"user_id": "u2"})).status_code == 403
    for path in (f"{SYNC}/runs/{run.id}", f"{SYNC}/runs/{run.id}/events"):
        statuses = [(await reader.get(path)).status_code for reader in (everyone, theirs, mine)]
        assert statuses == [200, 200, 404]
    owners = [
        {entry["user_id"] for entry in (await reader.get("/persistence/outbox?state=dead")).json()["entries"]}
        for reader in (everyone, mine, theirs)
    ]
    assert owners == [{"u1"}, {"u1"}, set()]


async def test_operating_is_for_admins(client_as):
    """With the scope write, whatever operates is 403; and for a tenant's admin, whatever is another's."""
    writer, mine = client_as(WRITE), client_as(ADMIN, "u1")
    assert (await writer.post(SYNC, json={"operation": "check"})).status_code == 403
    assert (await mine.post(SYNC, json={"operation": "check", "user_id": "u2"})).status_code == 403
    for action in ("retry", "discard"):
        assert (await writer.post(f"/persistence/outbox/x/{action}?user_id=u1")).status_code == 403
        assert (await mine.post(f"/persistence/outbox/x/{action}?user_id=u2")).status_code == 403
