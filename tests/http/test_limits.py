"""What a request may take: bytes, seconds; and what is answered where it takes more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.access import WRITE
from tests.http.conftest import Client
from tests.http.keyring import Keys

pytestmark = pytest.mark.usefixtures("demo")


@pytest.fixture(autouse=True)
async def writer(keys: Keys) -> None:
    await keys.make("writer", WRITE)


async def _pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_that_is_too_large(client: Client, keys: Keys, chunked: bool):  # noqa: FBT001
    """A body longer than the limit gets a 413, whether it says its length or comes in pieces; one of it is read."""
    http = await client(max_body_bytes=1_024)
    sent = {**keys.headers("writer"), "Content-Type": "application/json"}
    content = _pieces(9, 128) if chunked else b" " * 1_025
    answer = await http.post("/demo/write", content=content, headers=sent)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:diptych:problem:body-too-large")
    fits = b'{"name": "a", "size": 1}'.ljust(1_024)
    assert (await http.post("/demo/write", content=fits, headers=sent)).status_code == 200


async def test_a_body_is_not_read_for_those_who_may_not_send_one(client: Client):
    """Of a request without a key no byte of the body is taken."""
    http = await client()
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield b"x"

    assert (await http.post("/demo/write", content=body())).status_code == 401
    assert taken == 0


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json+json", 415),
        ("", 415),
    ],
)
async def test_the_type_of_a_body(client: Client, keys: Keys, media: str, status: int):
    """A body of another type than JSON gets a 415; no body needs no type."""
    http = await client()
    sent = {**keys.headers("writer"), "Content-Type": media}
    assert (await http.post("/demo/write", content=b'{"name": "a", "size": 1}', headers=sent)).status_code == status
    assert (await http.post("/demo/touch", headers={**sent, "Content-Length": "0"})).status_code == 200


async def test_a_request_that_takes_too_long(client: Client, keys: Keys):
    """A read that takes too long can be repeated; of a write that does, nobody knows whether it had its effect."""
    http = await client(request_timeout=0.05)
    read, write = await asyncio.gather(
        http.get("/demo/slow", headers=keys.headers("writer")), http.post("/demo/slow", headers=keys.headers("writer"))
    )
    assert (read.status_code, read.json()["type"]) == (504, "urn:diptych:problem:deadline-exceeded")
    assert (write.status_code, write.json()["type"]) == (503, "urn:diptych:problem:outcome-unknown")
    assert (read.json()["retryable"], write.json()["retryable"]) == (True, False)


async def test_a_stream_may_take_its_time_until_the_server_ends(client: Client, keys: Keys):
    """A stream of events outlives the time for a request; when the server ends it ends as a whole answer does."""
    http = await client(request_timeout=0.05)
    drain = http.app.state.host.drain  # type: ignore[attr-defined]
    asked = asyncio.create_task(http.get("/demo/events", headers=keys.headers("writer")))
    await asyncio.wait({asked}, timeout=0.3)
    assert not asked.done()
    drain.begin()
    drain.cut_streams()
    answer = await asyncio.wait_for(asked, 5)
    assert (answer.status_code, answer.text) == (200, "data: begun\n\n")
    late = await asyncio.wait_for(http.get("/demo/events", headers=keys.headers("writer")), 5)
    assert late.status_code == 200


async def test_what_does_not_end_is_broken_off_with_an_answer(client: Client, keys: Keys):
    """A request that is under way when the server must end is told that nobody knows whether it had its effect."""
    http = await client()
    asked = asyncio.create_task(http.post("/demo/slow", headers=keys.headers("writer")))
    await asyncio.wait({asked}, timeout=0.1)
    drain = http.app.state.host.drain  # type: ignore[attr-defined]
    drain.begin()
    drain.cut_all()
    answer = await asyncio.wait_for(asked, 5)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:diptych:problem:outcome-unknown")


async def test_not_ready_while_it_ends(client: Client):
    """A server that is about to end is alive and not ready."""
    http = await client()
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    http.app.state.host.drain.begin()  # type: ignore[attr-defined]
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:diptych:problem:not-ready")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await http.get("/livez")).status_code == 200
