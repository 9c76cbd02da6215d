"""The routes that matter most, over a real HTTP server, on a real Postgres and a real Neo4j."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.operating import Order
from persistence import Key
from persistence.ports.runs import Depth, RunKind, RunState
from sync import Pace
from tests.conftest import run_now
from tests.faults import drifts
from tests.faults.stores import Stores, draft
from tests.http.routes.serving import Served, served

SYNC = "/persistence/sync"
#: For a store of which the asking is over, at the latest, and for the machine.
SOON = 6.0


@pytest.fixture
def stores(postgres_url: str, pg_schema: str, clean_neo4j: str) -> Stores:
    return Stores(postgres_url, pg_schema, clean_neo4j)


@pytest.fixture
def server(stores: Stores) -> Iterator[Served]:
    with served((None, None), stores.config()) as server:
        yield server


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def fill(client: httpx.Client, count: int) -> list[Key]:
    many = [draft(number) | {"embedding": [1.0] * 8} for number in range(count)]
    answer = client.post("/memories/batch", json={"memories": many})
    assert answer.status_code == 201
    return [Key(one["user_id"], one["id"]) for one in answer.json()["results"]]


def events(client: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """Return the events of a run, as they come, to their end."""
    found: list[dict[str, Any]] = [{}]
    with client.stream("GET", f"{SYNC}/runs/{run_id}/events") as stream:
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if not line and found[-1]:
                found.append({})
            elif name in {"id", "event", "data"}:
                found[-1][name] = json.loads(value) if name == "data" else value
    return [event for event in found if "event" in event]


def test_planted_drift_is_found_and_mended(client, stores):
    """Drift planted by hand is found by a check, listed, planned by a repair, mended by another, and gone after it."""
    keys = fill(client, 30)
    run_now(lambda: drifts.missing(stores, keys[:3]))
    run_now(lambda: drifts.relationships_gone(stores, keys[3:5]))
    order = {"depth": "structure", "wait": True}
    check = client.post(SYNC, json=order | {"operation": "check"}).json()
    assert (check["in_step"], check["counts"]) == (False, {"edge_missing": 2, "missing_in_graph": 3})
    listed = client.get("/persistence/inconsistencies").json()["inconsistencies"]
    assert {one["memory_id"] for one in listed} == {key.id for key in keys[:5]}
    plan = client.post(SYNC, json=order | {"operation": "repair"}).json()
    assert (plan["dry_run"], plan["planned"], plan["repaired"]) == (True, 5, 0)
    run = client.post(SYNC, json={"operation": "repair", "depth": "structure", "dry_run": False})
    *_, done = events(client, run.json()["run_id"])
    assert (done["event"], done["data"]["report"]["repaired"], done["data"]["report"]["in_step"]) == ("done", 5, True)
    status = client.get("/persistence/status").json()
    assert (status["status"], status["counts"]["graph"]) == ("healthy", {"value": 30, "exact": True})
    assert client.get("/persistence/inconsistencies").json()["inconsistencies"] == []


def test_one_of_many_writers_wins(client):
    """Of many changes at once that stand on one version, one is made and the others get 412, round after round."""
    (key,) = fill(client, 1)
    where = f"/memories/{key.id}?user_id={key.user_id}"
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            tag = client.get(where).headers["ETag"]
            patch = lambda i, tag=tag: client.patch(where, headers={"If-Match": tag}, json={"metadata": {"by": i}})  # noqa: E731  # named for one line
            codes = [answer.status_code for answer in pool.map(patch, range(8))]
            assert sorted(codes) == [200] + [412] * 7


def test_the_same_memory_under_one_key_at_once(client):
    """Of the same request sent many times at once under one key, one stores, and all answer with the same memory."""
    body = draft(1) | {"id": None, "embedding": [1.0] * 8}
    store = lambda _: client.post("/memories", json=body, headers={"Idempotency-Key": "k"})  # noqa: E731  # named for one line
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(store, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["version"] for answer in answers}) == 1


def test_neighbourhood_of_an_entity(client):
    """Around an entity of the real graph lie its relationships and the memories that mention it."""
    fill(client, 9)
    asked = {"user_id": "alice", "type": "Place", "name": "place 0"}
    part = client.get("/graph/neighbourhood", params=asked).json()
    assert ({one["memory_id"] for one in part["edges"]}, len(part["nodes"])) == ({"m0000", "m0003", "m0006"}, 4)
    edges = client.get("/graph/edges?user_id=alice&limit=5").json()
    rest = client.get("/graph/edges", params={"user_id": "alice", "after": edges["next"]}).json()
    assert [one["memory_id"] for one in edges["edges"] + rest["edges"]] == [f"m{i:04}" for i in range(9)]


@pytest.mark.parametrize("side", ["postgres", "neo4j"])
def test_a_store_that_is_frozen(postgres_server, neo4j_server, side):
    """A frozen store is told within a deadline: the truth with 503, the graph as degraded; then it is well again."""
    own = Stores(postgres_server.url, f"test_{uuid.uuid4().hex[:16]}", neo4j_server.url)
    run_now(lambda: own.cypher("MATCH (n:DiptychMemory|DiptychEntity|DiptychStore) DETACH DELETE n"))
    frozen = {"postgres": postgres_server, "neo4j": neo4j_server}[side]
    name, code, status = {"postgres": ("vector", 503, "unhealthy"), "neo4j": ("graph", 200, "degraded")}[side]
    with served((None, None), own.config()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        fill(client, 3)
        with frozen.frozen():
            started = time.perf_counter()
            answer = client.get("/persistence/status")
            assert time.perf_counter() - started < SOON
        said = answer.json()
        assert (answer.status_code, said["status"], said["counts"][name]["value"]) == (code, status, None)
        assert said["stores"][name]["last_error"]
        until = time.monotonic() + 30
        while client.get("/persistence/status").json()["status"] != "healthy":
            assert time.monotonic() < until
        assert client.get("/persistence/status").json()["stores"][name]["error"] is None


def test_a_client_that_goes_away_leaves_the_run(client, server):
    """A client that stops listening leaves the run as it is; another one hears how far it is."""
    fill(client, 5)
    order = Order(RunKind.CHECK, depth=Depth.FULL, pace=Pace(rows_per_second=4))
    run = _in(server, server.host.desk.begin(order))
    with client.stream("GET", f"{SYNC}/runs/{run.id}/events") as stream:
        assert next(stream.iter_lines()).startswith("id: ")
    *_, done = events(client, str(run.id))
    assert (done["event"], done["data"]["state"]) == ("done", "done")


def test_a_server_that_ends_ends_its_streams(stores):
    """A server that is told to end ends the streams of events, and hands the run back."""
    with served((None, None), stores.config()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        fill(client, 5)
        run = _in(
            server, server.host.desk.begin(Order(RunKind.CHECK, depth=Depth.FULL, pace=Pace(rows_per_second=0.01)))
        )
        with client.stream("GET", f"{SYNC}/runs/{run.id}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            server.loop.call_soon_threadsafe(server.host.drain.cut_streams)
            assert not any(line == "event: done" for line in lines)
    with served((None, None), stores.config()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        left = client.get(f"{SYNC}/runs/{run.id}").json()
        assert (left["state"], left["lease_expires_at"]) == (RunState.INTERRUPTED, None)


def _in(server: Served, call: Any) -> Any:
    """Run a call in the loop of the server."""
    return asyncio.run_coroutine_threadsafe(call, server.loop).result(30)
