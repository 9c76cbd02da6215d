"""The limit of requests that several processes count together, in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from pydantic import ValidationError

from api.access import READ
from api.http import limiter as limiter_module
from api.http.limiter import Limiter
from api.http.settings import ApiConfig
from tests.redis_server import AWAY, Redis


@asynccontextmanager
async def limiters(count: int, **config: str) -> AsyncIterator[list[Limiter]]:
    """Make limiters as so many processes have them."""
    async with AsyncExitStack() as stack:
        made = [Limiter(ApiConfig(**config)) for _ in range(count)]
        for one in made:
            stack.push_async_callback(one.close)
        yield made


async def allowed(one: Limiter, name: str = "ada") -> bool:
    taken = await one.take(name)
    return taken.allowed


async def test_two_processes_count_together(redis: Redis):
    """What one process lets through is counted in the other; another sender has a count of its own."""
    async with limiters(2, rate_limit="3/minute", rate_limit_storage=redis.url) as (here, there):
        assert [await allowed(one) for one in (here, there, here, there, here)] == [True, True, True, False, False]
        assert await allowed(there, "grace")


async def test_without_a_storage_each_counts_for_itself():
    """`memory://` is what there is without the setting."""
    for given in ({}, {"rate_limit_storage": "memory://"}):
        async with limiters(2, rate_limit="1/minute", **given) as (here, there):
            assert [await allowed(one) for one in (here, there, here, there)] == [True, True, False, False]


@pytest.mark.parametrize("how", AWAY)
async def test_a_redis_that_is_away(redis: Redis, monkeypatch: pytest.MonkeyPatch, how: str):
    """Redis that is down, does not answer, or refuses the password stops nobody: the process counts for itself."""
    monkeypatch.setattr(limiter_module, "ASK_TIME", 0.1)
    url = redis.away(how)
    async with limiters(1, rate_limit="2/minute", rate_limit_storage=url) as (one,):
        async with asyncio.timeout(2):
            assert [await allowed(one) for _ in range(3)] == [True, True, False]


async def test_a_redis_that_comes_back(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    """Redis that is started again is asked again, also over connections that broke with it."""
    monkeypatch.setattr(limiter_module, "REST", 0.0)
    async with limiters(2, rate_limit="2/minute", rate_limit_storage=redis.url) as (here, there):
        assert await allowed(here)
        redis.stop()
        assert await allowed(here)
        redis.start()
        assert [await allowed(one) for one in (here, there, here)] == [True, True, False]


@pytest.mark.usefixtures("demo")
async def test_requests_through_the_server(redis: Redis, client, keys):
    """Two servers behind one address share a limit, and the headers say what is left of it."""
    await keys.make("reader", READ)
    servers = [await client(rate_limit="2/minute", rate_limit_storage=redis.url) for _ in range(2)]
    answers = [await http.get("/demo/read", headers=keys.headers("reader")) for http in (*servers, servers[0])]
    assert answers[-1].status_code == 429
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]


@pytest.mark.parametrize("url", ["localhost:6379", "memcached://localhost", "redis+sentinel://x", ""])
def test_a_storage_that_is_none(url: str):
    """Anything but memory and Redis is refused when the settings are read, without repeating it."""
    with pytest.raises(ValidationError, match="it begins with memory://, redis:// or rediss://"):
        ApiConfig(rate_limit_storage=url)
