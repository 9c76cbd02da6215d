"""The cache of search texts that several processes share, in a real Redis, before a real endpoint."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.embedding import shared
from persistence.embedding.shared import RedisQueryCache
from persistence.errors import ConfigurationError
from tests.openai_server import DIMENSION, Script, openai_server, vector
from tests.redis_server import AWAY, Redis

TEXT, CONTENT = "who works where?", "Ada works at Babbage & Co."


@pytest.fixture
def endpoint() -> Iterator[Script]:
    with openai_server() as script:
        yield script


@asynccontextmanager
async def services(count: int, endpoint: Script, cache: str, **given: object) -> AsyncIterator[list]:
    """Open services as so many processes have them, with one memory in each."""
    config = PersistenceConfig(
        vector_url="memory://", graph_url="none://", embedding_url=endpoint.url, embedding_model="m",
        embedding_dimension=DIMENSION, embedding_cache_url=cache, **given,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(AsyncPersistenceService.connect(config=config)) for _ in range(count)]
        for one in made:
            await one.store(CONTENT, user_id="ada", id="m1")
        yield made


def asked(endpoint: Script, text: str = TEXT) -> int:
    """Return how often the endpoint was asked for a text."""
    return sum(request.body["input"].count(text) for request in endpoint.requests)


def kept(server: Redis, *command: str) -> bytes:
    """Ask the server itself."""
    told = ["redis-cli", "-p", str(server.port), *(command or ("keys", "*"))]
    return subprocess.run(
        told, env={"REDISCLI_AUTH": server.password, "PATH": "/usr/bin"}, capture_output=True, check=True
    ).stdout


def cache_of(server: Redis, **given: object) -> RedisQueryCache:
    return RedisQueryCache(
        SecretStr(server.url),
        **{"model": "m", "dimension": DIMENSION, "seconds": 60.0, **given},  # type: ignore[arg-type]
    )


async def test_two_processes_ask_the_endpoint_once(redis: Redis, endpoint: Script):
    """What one process has searched for is not embedded again by another one, and finds the same."""
    async with services(2, endpoint, redis.url) as (here, there):
        found = [await one.search(TEXT, user_id="ada") for one in (here, there, here)]
        assert asked(endpoint) == 1
        assert len({tuple((hit.memory.id, hit.score) for hit in result.hits) for result in found}) == 1
        await here.search("another one", user_id="ada")
        assert asked(endpoint, "another one") == 1


async def test_a_tenant_is_a_wall(redis: Redis, endpoint: Script):
    """What one tenant has searched for says nothing to another one, not even by the time of an answer."""
    async with services(1, endpoint, redis.url) as (one,):
        for user in ("ada", "bob"):
            await one.search(TEXT, user_id=user)
        assert asked(endpoint) == 2


async def test_what_is_kept_names_nobody(redis: Redis, endpoint: Script):
    """Redis has no text, no tenant and no memory: a hash that needs a secret, and an end of each entry."""
    async with services(1, endpoint, redis.url, embedding_cache_time=100.0) as (one,):
        await one.search(TEXT, user_id="ada")
    (name,) = kept(redis).split()
    assert name.startswith(b"diptych:query:")
    assert 0 < int(kept(redis, "ttl", name.decode())) <= 100
    assert TEXT.encode() not in kept(redis, "get", name.decode())
    caches = [cache_of(redis, secret=secret) for secret in (None, SecretStr("sk-1"))]
    names = {one._name("ada", TEXT) for one in [*caches, cache_of(redis, model="n")]}
    assert len(names) == 3
    assert name.decode() in names


@pytest.mark.parametrize("how", AWAY)
async def test_a_redis_that_is_away(
    redis: Redis,
    endpoint: Script,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
):
    """Redis that is down, does not answer, or refuses the password stops no search, and is left alone for a while."""
    monkeypatch.setattr(shared, "ASK_TIME", 0.1)
    url = redis.away(how)
    async with services(1, endpoint, url) as (one,):
        async with asyncio.timeout(3):
            for _ in range(3):
                assert len((await one.search(TEXT, user_id="ada")).hits) == 1
    assert asked(endpoint) == 3


async def test_a_redis_that_comes_back(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    """Redis that is started again is asked again, also over connections that broke with it."""
    monkeypatch.setattr(shared, "REST", 0.0)
    cache, value = cache_of(redis), np.array(vector(TEXT), dtype=np.float32)
    await cache.put("ada", TEXT, value)
    redis.stop()
    assert await cache.get("ada", TEXT) is None
    redis.start()
    await cache.put("ada", TEXT, value)
    found = await cache.get("ada", TEXT)
    assert found is not None
    assert found.tolist() == value.tolist()
    await cache.close()
    await cache.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"x", np.zeros(DIMENSION, "<f4").tobytes(), np.full(DIMENSION, np.nan, "<f4").tobytes(), b"\1" * 4_000],
    ids=["empty", "short", "zero", "nan", "long"],
)
async def test_what_somebody_else_wrote_is_no_vector(redis: Redis, data: bytes):
    """What stands there and is no vector of the model is as if nothing stood there."""
    cache = cache_of(redis)
    await cache._redis.set(cache._name("ada", TEXT), data)
    assert await cache.get("ada", TEXT) is None
    await cache._redis.delete(cache._name("ada", TEXT))
    await cache._redis.lpush(cache._name("ada", TEXT), "x")
    assert await cache.get("ada", TEXT) is None
    await cache.close()


async def test_a_cancelled_search_leaves_the_cache_usable(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    """Cancelled while it asks, a search ends at once, and no later one gets the answer that was meant for it."""
    monkeypatch.setattr(shared, "ASK_TIME", 5.0)
    cache = cache_of(redis)
    for text in ("a", "b"):
        await cache.put("ada", text, np.array(vector(text), dtype=np.float32))
    redis.process.send_signal(signal.SIGSTOP)
    task = asyncio.create_task(cache.get("ada", "a"))
    await asyncio.sleep(0)
    while not cache._redis.connection_pool._in_use_connections:  # noqa: ASYNC110  # nobody tells it
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    redis.process.send_signal(signal.SIGCONT)
    found = await cache.get("ada", "b")
    assert found is not None
    assert found.tolist() == pytest.approx(vector("b"))
    await cache.close()


@pytest.mark.parametrize("url", ["localhost:6379", "memory://", "http://:hidden@h", "redis://:hidden@h:port/x"])
async def test_a_cache_that_is_none(tmp_path: Path, url: str):
    """Anything but Redis is refused at the start, without repeating it."""
    config = PersistenceConfig(
        vector_url=f"sqlite:///{tmp_path}/t.db", graph_url="none://", embedding_cache_url=SecretStr(url)
    )
    with pytest.raises(ConfigurationError, match="embedding_cache_url names no Redis") as caught:
        await AsyncPersistenceService.connect(config=config).open()
    assert "hidden" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
