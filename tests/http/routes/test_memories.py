"""`/memories`, on a truth in memory."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from api.access import READ, WRITE
from api.shapes import memory_json, page_json, search_json
from tests.http.routes.conftest import memory

#: Ids that mean something elsewhere in a URL, or in a header.
IDS = [
    "a/b",
    "a/b/related",
    "related",
    "batch",
    "?x=1#y",
    "ä ö",
    "名前/😀",
    "%2F",
    "a b",
    "*",
    '"quoted"',
    "/",
    "x" * 255,
]

#: Fields of a memory, each at fault in a way that its model sees.
FAULTY = ("content", "user_id", "embedding")


async def test_stored_memory_is_found_where_the_answer_says(client, ada):
    """A stored memory is answered with 201, its version as the ETag, and a Location that leads to it."""
    stored = await client.post("/memories", json=ada)
    assert (stored.status_code, stored.json()["status"], stored.json()["outcome"]) == (201, "stored", "in_step")
    shown = await client.get(stored.headers["Location"])
    assert shown.json() == stored.json()["memory"]
    assert shown.headers["ETag"] == stored.headers["ETag"] == f'"{stored.json()["version"]}"'


@pytest.mark.parametrize("name", IDS)
async def test_ids_hold_any_text(client, ada, name):
    """An id may hold any text: percent-encoded in the path it leads to the memory, and to what is related to it."""
    stored = await client.post("/memories", json={**ada, "id": name})
    assert stored.status_code == 201
    assert (await client.get(stored.headers["Location"])).json()["id"] == name
    path, tenant = f"/memories/{quote(name, safe='')}", {"user_id": "u1"}
    assert (await client.get(f"{path}/related", params=tenant)).json() == {"hits": [], "degraded": None}
    assert (await client.patch(path, params=tenant, json={"metadata": {"a": 1}})).json()["id"] == name
    assert (await client.delete(path, params=tenant)).json()["status"] == "deleted"
    assert (await client.get(path, params=tenant)).status_code == 404


async def test_answers_are_those_of_the_command_line(client, memories, ada):
    """A memory, a page and a search are the JSON that `diptych --json` prints for the same objects."""
    stored = await memories.store(**ada)
    one = await client.get(f"/memories/{stored.id}", params={"user_id": "u1"})
    assert one.json() == memory_json(await memories.get(stored.id, user_id="u1"))
    page = await client.get("/memories", params={"user_id": "u1"})
    assert page.json() == page_json(await memories.get_all(user_id="u1"))
    found = await client.post("/memories/search", json={"query": "Ada", "user_id": "u1", "expand": 1})
    assert found.json() == search_json(await memories.search("Ada", user_id="u1", expand=1))


async def test_known_version_is_not_sent_again(client, ada):
    """If-None-Match with the version that is there gives 304 and no body, also as a weak tag or a star."""
    stored = await client.post("/memories", json=ada)
    tag = stored.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"1", {tag}', "*"):
        answer = await client.get(stored.headers["Location"], headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    assert (await client.get(stored.headers["Location"], headers={"If-None-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '"abc"', '"1", "2"', "1", '"', f'"{"9" * 40}"', '"²"'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_another_version_is_not_touched(client, ada, tag, method):
    """If-Match that does not name the version that is there gives 412, and nothing is changed."""
    stored = await client.post("/memories", json=ada)
    body = {"json": {"content": "changed"}} if method == "PATCH" else {}
    where = stored.headers["Location"]
    answer = await client.request(method, where, headers={"If-Match": tag.encode()}, **body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (412, "application/problem+json")
    assert (await client.get(where)).json() == stored.json()["memory"]


@pytest.mark.parametrize("tag", ["abc", '"abc"', 'W/"1"', '"abc", 1'])
async def test_what_is_no_version(client, tag):
    """If-Match without any ETag of ours gets 412, and is told what one looks like, not of a version 0."""
    answer = await client.delete("/memories/m1?user_id=u1", headers={"If-Match": tag})
    told = answer.json()
    assert (answer.status_code, told["type"]) == (412, "urn:diptych:problem:version-conflict")
    assert told["detail"].startswith("If-Match holds no ETag of a memory")


async def test_expected_version_is_changed(client, ada):
    """If-Match with the version that is there, alone, among others or as a star, lets the change through."""
    stored = await client.post("/memories", json=ada)
    where, tag = stored.headers["Location"], stored.headers["ETag"]
    for number, match in enumerate((tag, '"1", {}', "*")):
        changed = await client.patch(
            where, headers={"If-Match": match.format(tag)}, json={"content": f"changed {number}"}
        )
        assert (changed.status_code, changed.json()["memory"]["content"]) == (200, f"changed {number}")
        assert changed.headers["ETag"] != tag
        tag = changed.headers["ETag"]
    assert (await client.delete(where, headers={"If-Match": tag})).json()["status"] == "deleted"
    assert (await client.delete(where, headers={"If-Match": tag})).status_code == 412


async def test_one_of_many_writers_wins(client, ada):
    """Of many changes that stand on one version, one is made and the others get 412."""
    stored = await client.post("/memories", json=ada)
    where, tag = stored.headers["Location"], stored.headers["ETag"]
    answers = await asyncio.gather(
        *[client.patch(where, headers={"If-Match": tag}, json={"content": f"by {i}"}) for i in range(8)]
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_gone_memories(client):
    """What is not there is 404 to read, to change and to delete; what was deleted is gone already, and no error."""
    where = "/memories/nothing?user_id=u1"
    assert (await client.get(where)).status_code == 404
    assert (await client.patch(where, json={"content": "x"})).status_code == 404
    assert (await client.get("/memories/nothing/related?user_id=u1")).status_code == 404
    gone = await client.delete(where)
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:diptych:problem:memory-not-found")
    await client.post("/memories", json=memory("x", id="nothing"))
    said = [(await client.delete(where)).json()["status"] for _ in range(2)]
    assert said == ["deleted", "already_deleted"]


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"),
    [
        ("POST", "/memories", {}, {"body content", "body user_id"}),
        (
            "POST",
            "/memories",
            {"content": "x", "embedding": [1.0], "created_at": "0001-01-01T00:00:00+14:00"},
            {"body embedding", "body created_at", "body user_id"},
        ),
        ("POST", "/memories", {"content": "x", "embedding": [1.0]}, {"body embedding", "body user_id"}),
        ("POST", "/memories", {"content": 7, "user_id": 7, "embedding": "no"}, {f"body {f}" for f in FAULTY}),
        ("POST", "/memories/search", {"limit": 0, "query": "x"}, {"body limit", "body user_id"}),
        ("GET", "/memories?limit=0", None, {"query limit", "query user_id"}),
        ("GET", "/graph/nodes?limit=0", None, {"query limit", "query user_id"}),
        ("DELETE", "/memories", None, {"query confirm", "query user_id"}),
        ("PATCH", "/memories/m", {"agent_id": 7}, {"body agent_id", "query user_id"}),
        ("PATCH", "/memories/m", {"embedding": [1.0]}, {"body embedding", "query user_id"}),
    ],
)
async def test_one_answer_names_every_fault(client, client_as, method, path, body, wanted):
    """A tenant that is not named, and what only the service can refuse, are among the other faults of one answer."""
    answer = await client.request(method, path, json=body)
    assert answer.status_code == 422
    assert {f"{fault['in']} {fault['field']}" for fault in answer.json()["errors"]} == wanted
    assert len(answer.json()["errors"]) == len(wanted)
    mine = await client_as(WRITE, "u1").request(method, path, json=body)
    named = {f"{fault['in']} {fault['field']}" for fault in mine.json()["errors"]}
    given = {"body user_id"} if body and "user_id" in body else set()
    assert named == {fault for fault in wanted if not fault.endswith("user_id")} | given


async def test_one_answer_names_every_fault_of_a_batch(client):
    """Each memory of a batch is named by its position, whether the model or the service refuses it."""
    wrong = [{"content": "x"}, {"content": 7}, {"content": "x", "user_id": "u1", "embedding": [1.0]}]
    answer = await client.post("/memories/batch", json={"memories": wrong})
    named = {fault["field"] for fault in answer.json()["errors"]}
    wanted = {"0.user_id", "1.content", "1.user_id", "2.embedding"}
    assert (answer.status_code, named) == (422, {f"memories.{place}" for place in wanted})
    good = [{"content": "x"}, {"content": "x", "user_id": "u1"}, {"content": "x", "embedding": [1.0]}]
    answer = await client.post("/memories/batch", json={"memories": good})
    assert {fault["field"] for fault in answer.json()["errors"]} == {
        "memories.0.user_id",
        "memories.2.user_id",
        "memories.2.embedding",
    }


async def test_repeated_request_stores_once(client, ada):
    """The same request under the same Idempotency-Key stores once: 201, then 200 with the same memory."""
    first, second = [await client.post("/memories", json=ada, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 200)
    assert (second.json()["status"], second.json()["memory"]) == ("already_stored", first.json()["memory"])


async def test_key_of_another_request(client, ada):
    """Another memory under the same Idempotency-Key is 422, and so is a key beside an id."""
    key = {"Idempotency-Key": "k"}
    await client.post("/memories", json=ada, headers=key)
    for other in ({"content": "x"}, {"metadata": {"a": 1}}, {"relationships": []}, {"id": "x"}):
        answer = await client.post("/memories", json=ada | other, headers=key)
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)


async def test_key_of_a_memory_that_was_changed_since(client, ada):
    """A request is repeated safely also where its memory was changed or deleted since."""
    key = {"Idempotency-Key": "k"}
    first = await client.post("/memories", json=ada, headers=key)
    await client.patch(first.headers["Location"], json={"content": "changed"})
    assert (await client.post("/memories", json=ada, headers=key)).json()["memory"]["content"] == "changed"
    await client.delete(first.headers["Location"])
    gone = await client.post("/memories", json=ada, headers=key)
    assert (gone.status_code, gone.json()["memory"]) == (200, None)


async def test_batch_tells_each_outcome(client):
    """Many memories are stored with an outcome for each, in the order given; of two with one id the last wins."""
    many = [memory(f"memory {i}", id=f"m{i % 3}") for i in range(4)]
    answer = await client.post("/memories/batch", json={"memories": many})
    results = answer.json()["results"]
    assert (answer.status_code, [one["id"] for one in results]) == (201, ["m0", "m1", "m2", "m0"])
    assert [one["outcome"] for one in results] == ["superseded", "in_step", "in_step", "in_step"]
    assert (answer.json()["stored"], answer.json()["pending"], answer.json()["error"]) == (4, 0, None)


async def test_batch_names_its_tenant_once(client):
    """The tenant of a batch is that of its memories where they name none; without either it is 422."""
    bare = [{"content": "x"}, {"content": "y", "user_id": "u2"}]
    answer = await client.post("/memories/batch", json={"memories": bare, "user_id": "u1"})
    assert [one["user_id"] for one in answer.json()["results"]] == ["u1", "u2"]
    assert (await client.post("/memories/batch", json={"memories": bare})).status_code == 422


async def test_every_fault_is_named(client):
    """A body at fault is 422 with every field at fault, unknown ones included, and nothing is stored."""
    bad = {"content": "", "user_id": "", "entities": [{"name": " ", "type": "Memory"}], "colour": "red"}
    answer = await client.post("/memories/batch", json={"memories": [{"content": "ok", "user_id": "u1"}, bad]})
    fields = {fault["field"] for fault in answer.json()["errors"]}
    wanted = {"content", "user_id", "entities.0.name", "entities.0.type", "colour"}
    assert (answer.status_code, fields) == (422, {f"memories.1.{field}" for field in wanted})
    assert (await client.get("/memories?user_id=u1")).json()["memories"] == []


async def test_pages_are_gone_through(client):
    """A list is gone through by `next`, with filters, every memory once, in the order of ids."""
    many = [memory(f"memory {i}", id=f"m{i:02}", agent_id=f"a{i % 2}", metadata={"n": i}) for i in range(20)]
    await client.post("/memories/batch", json={"memories": many})
    seen, after = [], {}
    while True:
        asked = {"user_id": "u1", "agent_id": "a1", "filters": '{"n": {"lt": 15}}', "limit": 3}
        page = (await client.get("/memories", params=asked | after)).json()
        seen += [one["id"] for one in page["memories"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [f"m{i:02}" for i in range(1, 15, 2)]


@pytest.mark.parametrize("filters", ["", "[]", "{", "1", '{"a": {"like": 1}}', "[" * 15_000])
async def test_filters_that_are_none(client, filters):
    """Filters that are no JSON object of conditions are 422."""
    answer = await client.get("/memories", params={"user_id": "u1", "filters": filters})
    assert (answer.status_code, "filters" in answer.json()["errors"][0]["field"]) == (422, True)


async def test_related_memories(client, ada):
    """Memories that share an entity are related."""
    first = (await client.post("/memories", json=ada)).json()
    await client.post("/memories", json=memory("Ada sleeps.", ["Ada"], id="other"))
    found = await client.get(f"/memories/{first['id']}/related", params={"user_id": "u1"})
    assert [(hit["memory"]["id"], hit["distance"]) for hit in found.json()["hits"]] == [("other", 1)]


async def test_delete_all_is_said_twice(client, ada):
    """Every memory of a tenant goes only where its user_id is confirmed, and nobody else's."""
    for user_id in ("u1", "u2"):
        await client.post("/memories", json=ada | {"user_id": user_id})
    for confirm in ({}, {"confirm": "yes"}, {"confirm": "u2"}):
        assert (await client.delete("/memories", params={"user_id": "u1", **confirm})).status_code == 422
    done = await client.delete("/memories", params={"user_id": "u1", "confirm": "u1"})
    assert (done.json()["status"], done.json()["deleted"]) == ("deleted", 1)
    assert (await client.get("/memories?user_id=u1")).json()["memories"] == []
    assert len((await client.get("/memories?user_id=u2")).json()["memories"]) == 1


async def test_tenants_are_walls(client, client_as, ada):
    """I9: for one tenant another's memories are 403, whether they exist or not. Guard: `tenant_of` in each route."""
    await client.post("/memories", json=ada | {"user_id": "u2", "id": "theirs"})
    mine = client_as(WRITE, "u1")
    for name in ("theirs", "nothing"):
        path = f"/memories/{name}?user_id=u2"
        for method, body in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
            answer = await mine.request(method, path, json=body)
            assert answer.status_code == 403
            assert name not in answer.text
        assert (await mine.get(f"/memories/{name}")).status_code == 404
    for path, body in (
        ("/memories", ada),
        ("/memories/batch", {"memories": [ada]}),
        ("/memories/search", {"query": "x"}),
    ):
        asked = {"memories": [ada | {"user_id": "u2"}]} if "memories" in body else body | {"user_id": "u2"}
        assert (await mine.post(path, json=asked)).status_code == 403


async def test_own_tenant_need_not_be_named(client_as, ada):
    """Whoever may act for one tenant only need not name it, anywhere."""
    mine, bare = client_as(WRITE, "u1"), {name: value for name, value in ada.items() if name != "user_id"}
    stored = await mine.post("/memories", json=bare | {"id": "m"})
    assert stored.json()["user_id"] == "u1"
    for path in (
        "/memories",
        "/memories/m",
        "/memories/m/related",
        "/graph",
        "/graph/nodes",
        "/graph/edges",
        "/export",
    ):
        assert (await mine.get(path)).status_code == 200
    assert len((await mine.post("/memories/search", json={"query": "Ada"})).json()["hits"]) == 1


async def test_readers_write_nothing(client_as, ada):
    """With the scope read, whatever writes is 403."""
    reader = client_as(READ)
    for method, path in (
        ("POST", "/memories"),
        ("POST", "/memories/batch"),
        ("PATCH", "/memories/m"),
        ("DELETE", "/memories/m"),
    ):
        assert (await reader.request(method, f"{path}?user_id=u1", json=ada)).status_code == 403
    assert (await reader.get("/memories?user_id=u1")).status_code == 200
