"""`/graph` and `/export`, on a graph in files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from api.access import READ
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryDelete, Tracking
from persistence.projection import bucket
from tests.http.routes.conftest import memory


@pytest.fixture
async def chain(client) -> None:
    """Store a chain: m1 says Ada knows Bob, m2 Bob knows Cid and Dan, m3 mentions Bob; another tenant's m1 like it."""
    many = [
        memory("Ada knows Bob", ["Ada", "Bob"], id="m1"),
        memory("Bob knows Cid and Dan", ["Bob", "Cid", "Dan"], id="m2"),
        memory("Bob", ["Bob"], id="m3"),
        memory("theirs", ["Bob", "Eve"], id="m1") | {"user_id": "u2"},
    ]
    assert (await client.post("/memories/batch", json={"memories": many})).status_code == 201


async def through(client: httpx.AsyncClient, path: str, name: str, **asked: Any) -> list[Mapping[str, Any]]:
    """Go through the pages of a list by `next`."""
    found, after = [], {}
    for _ in range(50):
        page = (await client.get(path, params={"user_id": "u1", **asked, **after})).json()
        found += page[name]
        assert len(page[name]) <= asked["limit"]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}
    raise AssertionError("the pages have no end")


def edge(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return one["source"]["key"], one["target"]["key"], one["memory_id"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_nodes_are_gone_through(client, chain, limit):
    """Entities are listed by pages of any size, each once, in the order of (type, key), of one tenant."""
    found = await through(client, "/graph/nodes", "nodes", limit=limit)
    assert [(one["key"], one["name"]) for one in found] == [
        ("ada", "Ada"),
        ("bob", "Bob"),
        ("cid", "Cid"),
        ("dan", "Dan"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_edges_are_gone_through(client, chain, limit):
    """Relationships are listed by pages of any size, each once, memory by memory, of one tenant."""
    found = await through(client, "/graph/edges", "edges", limit=limit)
    assert list(map(edge, found)) == [("ada", "bob", "m1"), ("bob", "cid", "m2"), ("bob", "dan", "m2")]


async def test_neighbourhood_of_an_entity(client, chain):
    """Around an entity lie its relationships, the entities at their ends, and the memories that mention it."""
    asked = {"user_id": "u1", "type": "Thing", "name": " BOB "}
    part = (await client.get("/graph/neighbourhood", params=asked)).json()
    assert {one["key"] for one in part["nodes"]} == {"ada", "bob", "cid", "dan"}
    assert [one["memory_id"] for one in part["mentions"] if one["entity"]["key"] == "bob"] == ["m1", "m2", "m3"]
    assert list(map(edge, part["edges"])) == [("ada", "bob", "m1"), ("bob", "cid", "m2"), ("bob", "dan", "m2")]
    assert part["truncated"] is False


async def test_neighbourhood_of_a_memory(client, chain):
    """Around a memory lie the entities it mentions and the relationships it states."""
    part = (await client.get("/graph/neighbourhood?user_id=u1&memory_id=m1")).json()
    assert ([one["key"] for one in part["nodes"]], list(map(edge, part["edges"]))) == (
        ["ada", "bob"],
        [("ada", "bob", "m1")],
    )


@pytest.mark.parametrize("node", ["memory_id=none", "type=Thing&name=nobody", "type=Thing&name=Eve"])
async def test_no_such_node(client, chain, node):
    """A node that is not there, or another tenant's, is 404."""
    assert (await client.get(f"/graph/neighbourhood?user_id=u1&{node}")).status_code == 404


@pytest.mark.parametrize(
    "node", ["", "type=Thing", "name=Bob", "memory_id=m1&type=Thing&name=Bob", "memory_id=m1&name=Bob"]
)
async def test_a_node_is_named_in_one_way(client, node):
    """A neighbourhood is that of a memory or of an entity, not of both or neither: 422."""
    assert (await client.get(f"/graph/neighbourhood?user_id=u1&{node}")).status_code == 422


async def test_subgraph_within_limits(client, chain):
    """A tenant's graph comes as a whole, or as much of it as is asked for, with both ends of each edge, and says so."""
    whole = (await client.get("/graph?user_id=u1")).json()
    assert (len(whole["nodes"]), len(whole["mentions"]), len(whole["edges"]), whole["truncated"]) == (4, 6, 3, False)
    for nodes in (1, 2, 3):
        for edges in (1, 3, 5, 7):
            part = (await client.get(f"/graph?user_id=u1&nodes={nodes}&edges={edges}")).json()
            keys = {one["key"] for one in part["nodes"]}
            assert (len(keys) <= nodes, part["truncated"]) == (True, True)
            assert len(part["edges"]) + len(part["mentions"]) <= edges
            assert all({one["source"]["key"], one["target"]["key"]} <= keys for one in part["edges"])


@pytest.mark.parametrize("path", ["/graph/nodes", "/graph/edges", "/persistence/outbox"])
@pytest.mark.parametrize("after", ["x", "bnVsbA", "W10", "ä", "WyJhIiwxXQ==", "WzFd", "AAAA"])
async def test_cursors_that_are_none(client, path, after):
    """A cursor that no page has given is 422, or is a place like any other; it is never a defect."""
    answer = await client.get(path, params={"user_id": "u1", "after": after})
    assert answer.status_code in {200, 422}


async def test_what_truth_no_longer_has_does_not_show(client, memories, chain):
    """Edges of a memory that truth has no more do not show, though the graph has them. Guard: ``_walk`` asks truth."""
    await memories.parts.truth.store.delete_many([_deletion("m1")], Tracking(graph=True, lease=60))
    assert Key("u1", "m1") in await memories.parts.graph.store.read([Key("u1", "m1")])
    found = await through(client, "/graph/edges", "edges", limit=10)
    assert [one["memory_id"] for one in found] == ["m2", "m2"]
    assert (await client.get("/graph/neighbourhood?user_id=u1&memory_id=m1")).status_code == 404
    part = (await client.get("/graph/neighbourhood?user_id=u1&type=Thing&name=Bob")).json()
    assert {one["memory_id"] for one in part["mentions"]} == {"m2", "m3"}


def _deletion(memory_id: str) -> MemoryDelete:
    return MemoryDelete("u1", memory_id, uuid.uuid4(), bucket("u1", memory_id))


async def test_export_streams_lines(client, chain):
    """An export is a file of JSON lines, of one tenant or of all, with embeddings or without."""
    answer = await client.get("/export?user_id=u1&embeddings=false")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == ["m1", "m2", "m3"]
    assert not any("embedding" in line for line in lines)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="diptych-export.jsonl"'
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert len((await client.get("/export")).text.splitlines()) == 4


async def test_full_export_says_how_much_it_holds(client, chain):
    """A full export begins with what it is and ends with how much it holds; without embeddings it is 422."""
    lines = (await client.get("/export?full=true")).text.splitlines()
    assert (json.loads(lines[0])["diptych"], json.loads(lines[-1])["end"]["memories"]) == ("full export", 4)
    assert (await client.get("/export?full=true&embeddings=false")).status_code == 422


async def test_export_of_nothing(client):
    """An export of a tenant without memories is an empty file."""
    answer = await client.get("/export?user_id=nobody")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_export_of_all_is_for_admins(client_as, chain):
    """All tenants are exported for the scope admin only; a reader of all tenants names one."""
    reader = client_as(READ)
    assert (await reader.get("/export")).status_code == 403
    assert (await reader.get("/export?user_id=u2")).status_code == 200
