"""A real Qdrant server that is frozen, killed, or asks for a key; where there is none, the tests are skipped."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from persistence import AsyncPersistenceService, Outcome, OutcomeUnknownError, PersistenceConfig
from persistence.errors import ConfigurationError, DeadlineExceededError, VectorStoreUnavailableError
from persistence.local import QdrantServer
from persistence.vector.qdrant import make
from tests.conftest import ServerUnderTest, started
from tests.contract.vector.making import DIMENSION

#: What a call may take beyond its deadline on a machine that is busy.
SLACK = 1.0
KEY = "a-key-of-a-test"


class _Guarded(QdrantServer):
    """A server that asks for a key."""

    def environment(self) -> Mapping[str, str] | None:
        return {**(super().environment() or os.environ), "QDRANT__SERVICE__API_KEY": KEY}


def service(server: ServerUnderTest, name: str, **settings: object) -> AsyncPersistenceService:
    config = PersistenceConfig(schema_name=name, vector_url=server.url, graph_url="none://", **settings)
    return AsyncPersistenceService.connect(config=config)


@pytest.fixture
def name() -> str:
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture
def guarded(qdrant_server: ServerUnderTest) -> Iterator[ServerUnderTest]:  # where the other one starts, so does this
    def make_server(folder: Path) -> QdrantServer:
        return _Guarded(folder, port=0)

    with started(make_server) as server:
        yield server


async def test_a_frozen_server_costs_no_one_more_than_the_deadline(qdrant_server: ServerUnderTest, name: str):
    """Frozen by SIGSTOP, a write is in doubt and a read fails, each in its time; thawed, all goes on."""
    async with service(qdrant_server, name, write_timeout=1.0) as memories:
        assert (await memories.store("before", user_id="ada", id="m1")).outcome is Outcome.IN_STEP
        with qdrant_server.frozen():
            began = time.monotonic()
            with pytest.raises((OutcomeUnknownError, DeadlineExceededError)):
                await memories.store("meanwhile", user_id="ada", id="m2")
            with pytest.raises((VectorStoreUnavailableError, DeadlineExceededError)):
                await memories.get("m1", user_id="ada")
            assert time.monotonic() - began < 2.0 + 2 * SLACK
        assert (await memories.store("after", user_id="ada", id="m3", timeout=30)).outcome is Outcome.IN_STEP


async def test_what_was_acknowledged_outlives_the_server(qdrant_server: ServerUnderTest, name: str):
    """Killed by SIGKILL and started again, the server has every acknowledged write, and no delete is undone."""
    async with service(qdrant_server, name) as memories:
        for number in range(40):
            await memories.store(f"memory {number}", user_id="ada", id=f"m{number:02}")
        for number in range(0, 40, 4):
            await memories.delete(f"m{number:02}", user_id="ada")
        await qdrant_server.kill()
        with pytest.raises(VectorStoreUnavailableError):
            await memories.get("m01", user_id="ada")
        await qdrant_server.start()
        page = await memories.get_all(user_id="ada", limit=100, timeout=30)
        assert [memory.id for memory in page.memories] == [f"m{number:02}" for number in range(40) if number % 4]


# The client says of every key that it goes without TLS; on this machine's own address it may.
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")
async def test_a_server_that_asks_for_a_key(guarded: ServerUnderTest, monkeypatch: pytest.MonkeyPatch):
    """With the key, in the URL or in the environment, the store opens; without it the sentence says what is missing."""
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    address = guarded.url.removeprefix("qdrant://")
    store = make(f"qdrant://:{KEY}@{address}")
    await store.open(model="test", dimension=DIMENSION)
    await store.close()
    store = make(f"qdrant://{address}", api_key=KEY)
    await store.open(model="test", dimension=DIMENSION)
    await store.close()
    for refused in (f"qdrant://{address}", f"qdrant://:another@{address}"):
        with pytest.raises(ConfigurationError, match="refused the API key") as caught:
            await make(refused).open(model="test", dimension=DIMENSION)
        assert KEY not in str(caught.value)
        assert "another" not in str(caught.value)
