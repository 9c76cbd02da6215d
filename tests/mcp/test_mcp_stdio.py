"""`diptych mcp` on stdin and stdout, spoken to by the official client."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from tests.mcp.conftest import ADA, ERAS, Command, done, refused

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
SECONDS = 30


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def call(number: int, tool: str, **arguments: object) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return line({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


async def answer(process: asyncio.subprocess.Process) -> dict:
    async with asyncio.timeout(SECONDS):
        return json.loads(await process.stdout.readline())


async def ended(process: asyncio.subprocess.Process) -> tuple[int, bytes, bytes]:
    """Close stdin, and return how the process ended."""
    async with asyncio.timeout(SECONDS):
        process.stdin.close()
        out, err = await process.communicate()
    return process.returncode, out, err


async def test_a_memory_s_whole_life(bare: Command):
    """What is remembered is found, read, related, changed and forgotten, each answer in the shape that was promised."""
    async with bare.client("--user", "ada", "--scope", "admin") as client:
        stored = await done(client, "remember", **ADA)
        other = await done(client, "remember", content="Ada plays chess.", entities=ADA["entities"][:1])
        assert stored["outcome"] == "in_step"
        found = await done(client, "search", query="who works at Babbage?", limit=1)
        assert [stored["id"]] == [hit["memory"]["id"] for hit in found["hits"]]
        related = await done(client, "relate", id=stored["id"])
        assert [other["id"]] == [hit["memory"]["id"] for hit in related["hits"]]
        assert {"Ada", "Babbage & Co."} == {entity["name"] for entity in related["neighbourhood"]["entities"]}
        changed = await done(client, "update", id=stored["id"], content="Ada left.", expected_version=stored["version"])
        assert (await done(client, "get", id=stored["id"]))["version"] == changed["version"]
        assert {stored["id"], other["id"]} == {one["id"] for one in (await done(client, "list"))["memories"]}
        assert (await done(client, "forget", id=stored["id"]))["status"] == "deleted"
        assert (await done(client, "forget", id=stored["id"]))["status"] == "already_deleted"
        assert (await refused(client, "get", id=stored["id"]))["type"] == "MemoryNotFoundError"


async def test_on_real_stores(paired: Command):
    """On Postgres and Neo4j two clients at once, of both eras, share what they store; a check finds nothing."""
    told: list[tuple[float, float | None]] = []

    async def tell(done_: float, total: float | None, _: str | None) -> None:
        told.append((done_, total))

    args = ("--user", "ada", "--scope", "admin")
    async with paired.client(*args) as one, paired.client(*args, mode=ERAS[1]) as two:
        stored = await done(one, "remember", **ADA)
        other = await done(two, "remember", content="Ada plays chess.", entities=ADA["entities"][:1])
        assert [other["id"]] == [hit["memory"]["id"] for hit in (await done(two, "relate", id=stored["id"]))["hits"]]
        keys = [f"k{number}" for number in range(10)]
        pairs = await asyncio.gather(
            *(done(client, "remember", content="x", idempotency_key=key) for key in keys for client in (one, two))
        )
        assert len({pair["id"] for pair in pairs}) == len(keys)
        result = await one.call_tool("check", {"depth": "full"}, progress_callback=tell)
        checked = result.structured_content
        assert (checked["complete"], checked["found"], checked["checked"]) == (True, 0, {"vector": 12, "graph": 12})
        assert len(told) >= 2
        assert told == sorted(told)
        plan = await done(two, "repair")
        assert (plan["dry_run"], plan["planned"]) == (True, 0)
        assert {"check", "repair"} == {run["kind"] for run in (await done(two, "runs"))["runs"]}
        status = await done(one, "status")
        assert (status["status"], status["counts"]["vector"]["value"]) == ("healthy", 12)
        assert status["last_check"]["full"]["run_id"] == result.structured_content["run_id"]


async def test_garbage_does_not_end_it(bare: Command):
    """What is no message is passed over; nothing but the protocol comes out; the end of stdin is exit 0."""
    process = await bare.start("--user", "ada", "--vector-url", "memory://")
    process.stdin.write(b'garbage\n\n[]\n{"jsonrpc": "2.0"}\n\xff\xfe\x00\n' + b'{"id":' * 5_000 + b"\n")
    process.stdin.write(line(HELLO))
    assert (await answer(process))["result"]["serverInfo"]["name"] == "diptych"
    process.stdin.write(b"more of it\n" + call(2, "remember", content="kept \N{SNOWMAN}"))
    assert (await answer(process))["result"]["structuredContent"]["memory"]["content"] == "kept \N{SNOWMAN}"
    assert await ended(process) == (0, b"", b"")


async def test_a_line_too_long_is_answered_and_not_kept(bare: Command):
    """A message beyond the bound is refused by an error without an id, and the next one is heard."""
    process = await bare.start("--user", "ada")
    process.stdin.write(b"x" * 9_000_000 + b"\n" + line(HELLO))
    assert (await answer(process))["error"]["code"] == -32600
    assert (await answer(process))["id"] == 1
    assert (await ended(process))[0] == 0


async def test_what_else_prints_goes_to_stderr(bare: Command):
    """With -v a line for each call and one for what it wrote go to stderr, without a word of it; stdout stays clean."""
    process = await bare.start("--user", "ada", "-v")
    process.stdin.write(line(HELLO) + call(2, "remember", content="a secret"))
    assert [(await answer(process))["id"], (await answer(process))["id"]] == [1, 2]
    code, out, err = await ended(process)
    assert (code, out) == (0, b"")
    assert b"mcp.call" in err
    assert b"A memory was stored." in err
    assert b"secret" not in err


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
async def test_what_was_acknowledged_outlives_the_process(bare: Command, way):
    """Terminated or killed half-way, with nobody having closed stdin: every write that was answered is there."""
    bare.environment["DIPTYCH_VECTOR_URL"] = f"sqlite:///{bare.folder}/truth.db"
    process = await bare.start("--user", "ada")
    process.stdin.write(line(HELLO) + b"".join(call(number, "remember", content="x") for number in range(2, 40)))
    answered = [await answer(process) for _ in range(12)]
    process.send_signal(way)
    async with asyncio.timeout(SECONDS):
        out = await process.stdout.read()
    code, _, _ = await ended(process)
    assert code == (143 if way is signal.SIGTERM else -signal.SIGKILL)
    answered += [json.loads(one) for one in out.splitlines() if one.endswith(b"}")]
    kept = {
        one["result"]["structuredContent"]["id"] for one in answered if "structuredContent" in one.get("result", {})
    }
    async with bare.client("--user", "ada") as client:
        there = {memory["id"] for memory in (await done(client, "list", limit=100))["memories"]}
    assert len(kept) >= 11
    assert kept <= there


async def test_a_client_that_reads_no_more_has_left(bare: Command):
    """Where nobody reads stdout any more the server ends as at the end of stdin, without a word."""
    process = await bare.start("--user", "ada")
    process.stdin.write(line(HELLO))
    await answer(process)
    process._transport.get_pipe_transport(1).close()
    process.stdin.write(call(2, "remember", content="x"))
    async with asyncio.timeout(SECONDS):
        assert await process.wait() == 0
    assert await process.stderr.read() == b""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "--scope must be given"),
        (("--user", ""), "user: ''"),
        (("--user", "ada", "--http", "0.0.0.0:8766"), "localhost only"),
        (("--user", "ada", "--http", "8766"), "HOST:PORT"),
        (("--user", "ada", "--http", "localhost:99999"), "HOST:PORT"),
        (("--user", "ada", "--vector-url", "nowhere://"), "nowhere://"),
    ],
)
async def test_what_cannot_be_is_a_sentence(bare: Command, args, said):
    """Options that cannot be served end the command with 2 and a sentence, and nothing on stdout."""
    code, out, err = await ended(await bare.start(*args))
    assert (code, out) == (2, b"")
    assert said in err.decode()
    assert b"Traceback" not in err


async def test_without_the_extra_it_says_what_to_install(bare: Command):
    """Where the protocol's library is missing the command ends with 2 and names the extra; its help is there."""
    blocked = bare.folder / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['mcp'] = None\n")
    bare.environment["PYTHONPATH"] = str(blocked)
    code, _, err = await ended(await bare.start("--user", "ada"))
    assert code == 2
    assert 'Try: pip install "diptych[mcp]"' in err.decode()
    assert (await ended(await bare.start("--help")))[0] == 0
