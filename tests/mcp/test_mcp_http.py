"""Streamable HTTP: a real server on localhost, the official client, and whoever else comes by."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress

import httpx2
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from api.http.settings import ApiConfig
from persistence import AsyncPersistenceService
from persistence.settings import PersistenceConfig
from sync import RunState
from tests.mcp.conftest import ADA, ERAS, Command, Served, done, refused, served_by

READ = {"search", "get", "list", "relate", "status", "runs"}
WRITE = {"remember", "remember_many", "update", "forget"}
ADMIN = {"check", "repair"}
SECONDS = 30

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("who", "may"), [("reads", READ), ("writes", READ | WRITE), ("admin", READ | WRITE | ADMIN)])
async def test_a_scope_sees_and_calls_its_tools_alone(served: Served, mode, who, may):
    """Each scope is shown the tools it may call; another one is a tool that is not there, like one that never was."""
    async with served.connect(f"all-{who}", mode) as client:
        tools = (await client.list_tools()).tools
        assert may == {tool.name for tool in tools}
        for name in (READ | WRITE | ADMIN) - may | {"drop_everything"}:
            with pytest.raises(MCPError, match="There is no tool"):
                await client.call_tool(name, {})


@pytest.mark.parametrize("served", [ApiConfig(read_only=True)], indirect=True)
async def test_read_only_leaves_reading(served: Served):
    """A server that is read-only shows an administrator what a reader sees, and calls nothing else."""
    async with served.connect("all-admin") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == READ
        with pytest.raises(MCPError, match="There is no tool"):
            await client.call_tool("remember", {"user_id": "ada", "content": "x"})


async def test_tools_say_what_they_are(served: Served):
    """Every tool has a title and a description, describes its arguments and its answer, and hints at what it does."""
    async with served.connect("all-admin") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert all(field["description"] for field in tool.input_schema["properties"].values())
        assert tool.annotations.read_only_hint is (tool.name in READ)
        assert tool.annotations.destructive_hint is (tool.name in {"update", "forget", "repair"})
    assert "user_id" in tools["search"].input_schema["required"]
    assert "user_id" not in tools["status"].input_schema.get("required", [])


async def test_one_tenant_s_key_is_not_asked_for_the_tenant(served: Served):
    """Who acts for one tenant is not shown the argument, and works for that tenant; who acts for all must name one."""
    async with served.connect("ada-writes") as ada, served.connect("all-writes") as everyone:
        assert not any("user_id" in tool.input_schema["properties"] for tool in (await ada.list_tools()).tools)
        assert (await done(ada, "remember", content="x"))["user_id"] == "ada"
        problem = await refused(everyone, "remember", content="x")
        assert problem["message"].startswith("user_id")
        assert (await done(everyone, "remember", content="x", user_id="bob"))["user_id"] == "bob"


async def test_a_tenants_state_is_its_own(served: Served):
    """What was checked of another tenant since does not hide a tenant's own last check."""
    async with served.connect("ada-admin") as ada, served.connect("bob-admin") as bob:
        own = await done(ada, "check")
        await done(bob, "check")
        status = await done(ada, "status")
    assert status["last_check"]["quick"]["run_id"] == own["run_id"]


async def test_tenants_are_walls(served: Served):
    """Another tenant's memory, run and numbers are like those that are not there, by every way in."""
    async with served.connect("ada-admin") as ada, served.connect("bob-admin") as bob:
        stored = await done(ada, "remember", **ADA)
        checked = await done(ada, "check")
        for tool in ("get", "relate", "update"):
            besides = {"content": "y"} if tool == "update" else {}
            theirs = await refused(bob, tool, id=stored["id"], **besides)
            assert theirs == await refused(bob, tool, id="nowhere", **besides)
        assert (await done(bob, "forget", id=stored["id"]))["status"] == "already_absent"
        assert (await done(bob, "search", query="Ada"))["hits"] == []
        assert (await done(bob, "list"))["memories"] == []
        assert (await done(bob, "runs"))["runs"] == []
        nobody = "00000000-0000-7000-8000-000000000000"
        assert await refused(bob, "runs", id=checked["run_id"]) == await refused(bob, "runs", id=nobody)
        theirs = await refused(bob, "repair", check_run_id=checked["run_id"])
        assert theirs == await refused(bob, "repair", check_run_id=nobody)
        status = await done(bob, "status")
        assert status["counts"]["vector"] == {"value": 0, "exact": True}
        assert not any((status["last_check"] or {}).values())
        for tool, besides in (("get", {"id": "x"}), ("search", {"query": "x"}), ("status", {}), ("check", {})):
            assert (await refused(bob, tool, user_id="ada", **besides))["type"] == "Denied"
            assert await refused(bob, tool, user_id="ada", **besides) == await refused(
                bob, tool, user_id="nobody", **besides
            )
        for user in ("ada", "nobody"):
            with pytest.raises(MCPError, match="There is no resource"):
                await bob.read_resource(f"memory://{user}/{stored['id']}")
        assert (await done(ada, "get", id=stored["id"]))["version"] == stored["version"]


async def test_resources_are_one_memory_and_the_state(served: Served):
    """A memory is read at its address, whatever characters its tenant and its id have; the state at its own."""
    async with served.connect("all-writes") as client:
        stored = await done(client, "remember", content="x", user_id="a/b %")
        read = await client.read_resource(f"memory://a%2Fb%20%25/{stored['id']}")
        assert json.loads(read.contents[0].text)["id"] == stored["id"]
        assert json.loads((await client.read_resource("diptych://status")).contents[0].text)["status"] == "healthy"
        for uri in (
            "memory://a%2Fb%20%25/nowhere",
            "memory://x",
            "file:///etc/passwd",
            "memory:///x",
            "memory://a/%00",
        ):
            with pytest.raises(MCPError, match="There is no resource"):
                await client.read_resource(uri)


@pytest.mark.parametrize("mode", ERAS)
async def test_pages_of_runs_follow_each_other(served: Served, mode):
    """Runs are listed page by page, the newest first, each once; one by its id has its whole report."""
    async with served.connect("ada-admin", mode) as client:
        made = [(await done(client, "check", ids=["x"]))["run_id"] for _ in range(3)]
        first = await done(client, "runs", limit=2)
        second = await done(client, "runs", limit=2, before=first["next"])
        assert [run["run_id"] for page in (first, second) for run in page["runs"]] == made[::-1]
        assert second["next"] is None
        (one,) = (await done(client, "runs", id=made[0]))["runs"]
        assert one["report"]["inconsistencies"] == []


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic YTpi", "Bearer", "\x80"])
async def test_nobody_known_is_401(served: Served, authorization):
    """Without a token that is known every method is refused, with the scheme to use, and nothing of why."""
    headers = HEADERS if authorization is None else {**HEADERS, "Authorization": authorization}
    async with httpx2.AsyncClient(headers={k: v.encode("latin-1") for k, v in headers.items()}) as web:
        for method in ("POST", "GET", "DELETE"):
            answer = await web.request(method, served.url, content=json.dumps(HELLO))
            assert answer.status_code == 401
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer realm="diptych"')
            assert ("invalid_token" in challenge) is (authorization is not None)


async def test_no_scope_at_all_is_403(served: Served):
    """A key that may not even read is refused at the door, and told which scope is missing."""
    async with httpx2.AsyncClient(headers={**HEADERS, "Authorization": "Bearer nothing"}) as web:
        answer = await web.post(served.url, json=HELLO)
    assert answer.status_code == 403
    assert 'scope="read"' in answer.headers["www-authenticate"]


async def test_a_session_is_its_owner_s(served: Served):
    """A session answers to whoever began it alone; to others, and once its key is gone, it is not there."""
    as_ada, as_bob = ({**HEADERS, "Authorization": f"Bearer {who}-writes"} for who in ("ada", "bob"))
    async with httpx2.AsyncClient() as web:
        session = (await web.post(served.url, json=HELLO, headers=as_ada)).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        its = {"Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-06-18"}
        assert (await web.post(served.url, json=ping, headers={**as_ada, **its})).status_code == 200
        assert (await web.post(served.url, json=ping, headers={**as_bob, **its})).status_code == 404
        served.refused.add("ada-writes")
        assert (await web.post(served.url, json=ping, headers={**as_ada, **its})).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Accept": "text/html"}, 406),
        ({"Mcp-Session-Id": "none"}, 404),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
async def test_other_names_and_pages_are_refused(served: Served, headers, status):
    """A request for another host, or from a page of another, does not reach the server (DNS rebinding)."""
    async with httpx2.AsyncClient() as web:
        given = {**HEADERS, "Authorization": "Bearer all-admin", **headers}
        assert (await web.post(served.url, json=HELLO, headers=given)).status_code == status


@pytest.mark.parametrize("served", [ApiConfig(max_body_bytes=2_000)], indirect=True)
async def test_bodies_have_a_bound(served: Served):
    """A body beyond the bound is 413, and what is no JSON 400; neither ends the server."""
    async with httpx2.AsyncClient(headers={**HEADERS, "Authorization": "Bearer all-admin"}) as web:
        assert (await web.post(served.url, content=b"x" * 3_000)).status_code == 413
        assert (await web.post(served.url, content=b"\xff{")).status_code == 400
        assert (await web.post(served.url, json=HELLO)).status_code == 200


async def test_many_clients_at_once(served: Served):
    """Clients of two tenants that work at the same time each see their own memories, all of them."""

    async def work(token: str, mode: str) -> set[str]:
        async with served.connect(token, mode) as client:
            stored = await asyncio.gather(*(done(client, "remember", content=f"{token} {n}") for n in range(10)))
            return {one["id"] for one in stored}

    who = [(f"{user}-writes", mode) for user in ("ada", "bob") for mode in ERAS]
    stored = await asyncio.gather(*(work(*one) for one in who))
    for user in ("ada", "bob"):
        async with served.connect(f"{user}-reads" if user == "ada" else f"{user}-writes") as client:
            there = {memory["id"] for memory in (await done(client, "list", limit=100))["memories"]}
        mine = [ids for (token, _), ids in zip(who, stored, strict=True) if token.startswith(user)]
        assert there == set().union(*mine)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_cancelled_check_leaves_no_lease(mode, postgres_url, pg_schema, clean_neo4j):
    """A check whose caller gives up is interrupted at once: its lease is given back, and the next one may begin."""
    memories = AsyncPersistenceService.connect(
        postgres_url, clean_neo4j, config=PersistenceConfig(schema_name=pg_schema)
    )
    began = asyncio.Event()

    async def tell(*_: object) -> None:
        began.set()

    async with served_by(memories, ApiConfig()) as served, served.connect("ada-admin", mode) as client:
        await memories.store_many([{"user_id": "ada", "content": f"{n}"} for n in range(1_000)])
        call = asyncio.create_task(client.call_tool("check", {"depth": "full"}, progress_callback=tell))
        async with asyncio.timeout(SECONDS):
            await began.wait()
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            (run,) = (await done(client, "runs"))["runs"]
            while run["state"] == RunState.RUNNING:
                (run,) = (await done(client, "runs"))["runs"]
        assert (run["state"], run["lease_expires_at"]) in {("interrupted", None), ("done", None)}
        assert (await done(client, "check"))["in_step"]


async def test_a_defect_says_nothing_of_itself(served: Served, monkeypatch):
    """An error that is none of ours is a sentence, and the text of what failed stays in the log."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("postgresql://user:password@host")

    async with served.connect("ada-admin") as client:
        monkeypatch.setattr(AsyncPersistenceService, "get", broken)
        result = await client.call_tool("get", {"id": "x"})
        with pytest.raises(MCPError) as raised:
            await client.read_resource("memory://ada/x")
    assert "password" not in str(result) + str(raised.value.error)
    assert result.meta["diptych/problem"]["type"] == "InternalError"


async def test_a_store_that_is_down_is_said(served: Served):
    """Where the service fails with an error of ours its sentence and whether to repeat come through."""
    async with served.connect("ada-admin") as client:
        await served.host.memories.close()
        problem = await refused(client, "search", query="x")
    assert problem["type"] == "ServiceClosedError"


async def test_the_command_serves_http_until_sigterm(bare: Command):
    """`--http` says where it serves, on a free port where 0 is given, and ends with 0, sessions open or not."""
    process = await bare.start("--user", "ada", "--http", "127.0.0.1:0")
    async with asyncio.timeout(SECONDS):
        url = (await process.stderr.readline()).decode().split()[-1]
    async with httpx2.AsyncClient() as web:
        assert (await web.post(url, json=HELLO, headers=HEADERS)).status_code == 200
        assert (await web.post(url, json=HELLO, headers={**HEADERS, "Host": "evil.example"})).status_code == 421
    with suppress(ExceptionGroup, httpx2.HTTPError):  # the client's own end, once the server has gone
        async with Client(url, mode="legacy", read_timeout_seconds=SECONDS) as client:
            await done(client, "remember", content="x")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    assert process.returncode == 0
    assert (await process.stdout.read(), await process.stderr.read()) == (b"", b"")
    process._transport.close()


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("remember", {"content": ""}, "content"),
        ("remember", {"content": "x", "colour": "red"}, "colour"),
        ("remember", {"content": "x", "entities": [{"name": "Ada", "type": "Memory"}]}, "entities[0].type"),
        ("remember", {"content": "x", "created_at": "yesterday"}, "created_at"),
        ("remember", {}, "content"),
        ("remember_many", {"memories": []}, "memories"),
        ("remember_many", {"memories": [{"content": "x"}] * 101}, "memories"),
        ("search", {"query": "x", "limit": 101}, "limit"),
        ("search", {"query": "x", "expand": 6}, "expand"),
        ("search", {"query": "x", "filters": {"a": {"like": 1}}}, "filters"),
        ("search", {"query": "  "}, "query"),
        ("list", {"limit": 0}, "limit"),
        ("get", {"id": "\x00"}, "id"),
        ("relate", {"id": "x", "depth": 0}, "depth"),
        ("check", {"depth": "deepest"}, "depth"),
        ("runs", {"id": "no-uuid"}, "id"),
    ],
)
async def test_bad_arguments_are_named(served: Served, tool, arguments, field):
    """What is not allowed is an error of the tool that names the field, and says that repeating it is no use."""
    async with served.connect("ada-admin") as client:
        problem = await refused(client, tool, **arguments)
        assert (problem["type"], problem["retryable"]) == ("InvalidInputError", False)
        assert problem["message"].startswith(field)


async def test_an_idempotency_key_stores_once(served: Served):
    """The same key is the same memory, for one and among many; a second call changes nothing."""
    async with served.connect("ada-writes") as client:
        first = await done(client, "remember", content="once", idempotency_key="k")
        many = await done(
            client, "remember_many", memories=[{"content": "other", "idempotency_key": "k"}, {"content": "new"}]
        )
        assert [first["id"], "already_stored"] == [many["results"][0]["id"], many["results"][0]["status"]]
        assert many["results"][1]["status"] == "stored"
        assert (await done(client, "get", id=first["id"]))["content"] == "once"


async def test_a_stale_version_is_refused(served: Served):
    """A change or a delete that expects another version says which one is there, what to do, and does nothing."""
    async with served.connect("ada-writes") as client:
        stored = await done(client, "remember", content="first")
        for tool in ("update", "forget"):
            problem = await refused(client, tool, id=stored["id"], expected_version=1)
            assert (problem["type"], problem["retryable"]) == ("VersionConflictError", False)
            assert problem["hint"].startswith("read the memory again")
        assert (await done(client, "get", id=stored["id"]))["content"] == "first"
