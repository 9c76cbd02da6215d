"""Connections to PostgreSQL that are not to be had: because others have them all, or because we use all of our own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from persistence import AsyncPersistenceService, DeadlineExceededError, PersistenceError, VectorStoreUnavailableError
from persistence.local import PostgresServer
from sync import AsyncSyncService, Depth
from tests.conftest import POSTGRES_OPTIONS, ServerUnderTest, started
from tests.faults.stores import ALICE, Stores, StoresOnPostgres, draft, until

SMALL = 12
#: A user as an app has one: with a password, and without a superuser's reserve of connections.
APP, PASSWORD = "app", "a-password-for-tests"
QUICK: dict[str, Any] = {"write_timeout": 1.0, "connect_timeout": 0.8, "retry_attempts": 2, "pool_size": 3}


@pytest.fixture(scope="module")
def small_postgres() -> Iterator[ServerUnderTest]:
    """Start a Postgres that takes few connections, by its socket and by an address."""
    options = {**POSTGRES_OPTIONS, "max_connections": str(SMALL), "listen_addresses": "127.0.0.1"}
    with started(lambda folder: PostgresServer(folder, options=options, port=0)) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE USER {APP} PASSWORD '{PASSWORD}'")
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"GRANT CREATE ON DATABASE postgres TO {APP}")
        yield server


@pytest.fixture
def stores(small_postgres: ServerUnderTest) -> Stores:
    """Return a truth and a graph on it, for the app's user."""
    port = urlsplit(small_postgres.url).query.rpartition("port=")[2]
    url = f"postgresql://{APP}:{PASSWORD}@127.0.0.1:{port}/postgres"
    return StoresOnPostgres(url, f"test_{uuid.uuid4().hex[:12]}", url)


@asynccontextmanager
async def taken(url: str) -> AsyncIterator[AsyncExitStack]:
    """Take every connection that this user can have, for the block; closing the stack gives them back."""
    async with AsyncExitStack() as stack:
        with suppress(psycopg.OperationalError):
            for _ in range(SMALL + 1):
                await stack.enter_async_context(await psycopg.AsyncConnection.connect(url))
            pytest.fail("there was always one more")
        yield stack


async def end_ours(server: ServerUnderTest) -> None:
    """End the service's connections, as an administrator would."""
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'diptych'"
        )


async def refusal(call: Any) -> PersistenceError:
    """Return the error that the call ends with."""
    with pytest.raises(PersistenceError) as caught:
        await call
    return caught.value


async def test_opening_without_a_connection_left(stores: Stores, small_postgres: ServerUnderTest) -> None:
    """Where others have all connections, opening says that it may be that; one who gave no password may try again."""
    async with taken(stores.postgres):
        error = await refusal(stores.service(**QUICK).__aenter__())
        assert "max_connections" in (error.hint or "")
    async with taken(small_postgres.url):
        error = await refusal(Stores(small_postgres.url, stores.schema, "none://").service(**QUICK).__aenter__())
        assert isinstance(error, VectorStoreUnavailableError), repr(error)
        assert "max_connections" in (error.hint or "")
    async with stores.service(**QUICK) as memories:
        assert (await memories.store(**draft(1))).memory is not None


async def test_working_without_a_connection_left(stores: Stores, small_postgres: ServerUnderTest) -> None:
    """A service that loses its connections while others take all says so in time, and goes on once there are some."""
    async with stores.service(**QUICK) as memories:
        await memories.store(**draft(1))
        async with taken(stores.postgres) as others:
            await end_ours(small_postgres)
            await others.enter_async_context(taken(stores.postgres))
            async with asyncio.timeout(30):
                errors = [
                    await refusal(memories.store(**draft(2))),
                    await refusal(memories.get("m0001", user_id=ALICE)),
                ]
                errors.append(await refusal(AsyncSyncService(memories).check_consistency(Depth.FULL)))
        for error in errors:
            assert isinstance(error, VectorStoreUnavailableError | DeadlineExceededError), repr(error)
            assert error.retryable
            assert error.hint
        await until(lambda: _stores(memories, 2), what="a write with connections again")
        assert (await memories.get("m0001", user_id=ALICE)) is not None
        await until(lambda: _in_step(memories), what="a full check that finds nothing")


async def _stores(memories: AsyncPersistenceService, number: int) -> bool:
    try:
        await memories.store(**draft(number))
    except PersistenceError:
        return False
    return True


async def _in_step(memories: AsyncPersistenceService) -> bool:
    try:
        await memories.drain()
        report = await AsyncSyncService(memories).check_consistency(Depth.FULL)
    except PersistenceError:
        return False
    assert report.found == 0
    return report.in_step


async def test_a_pool_run_dry(stores: Stores) -> None:
    """Calls that wait in vain for one of our own connections end in time, retryable: nothing of theirs was sent."""
    async with stores.service(**QUICK) as memories, AsyncExitStack() as stack:
        await memories.store(**draft(1))
        sessions = memories.parts.truth.store._sessions
        for _ in range(QUICK["pool_size"]):
            await stack.enter_async_context(sessions.use())
        async with asyncio.timeout(30):
            errors = [await refusal(memories.store(**draft(n))) for n in (1, 2)]
            errors.append(await refusal(memories.delete("m0001", user_id=ALICE)))
            errors.append(await refusal(memories.get("m0001", user_id=ALICE)))
        assert [error.retryable for error in errors] == [True] * 4, errors
        assert all(error.hint for error in errors)
        await stack.aclose()
        assert (await memories.store(**draft(3))).memory is not None
        assert await memories.get("m0002", user_id=ALICE) is None, "what was refused is nowhere"
        assert (await memories.get("m0001", user_id=ALICE)).content == draft(1)["content"]


async def test_more_callers_than_connections(stores: Stores) -> None:
    """A hundred writers on one connection wait for their turn, and all are served."""
    async with stores.service(**{**QUICK, "pool_size": 1, "write_timeout": 30.0, "connect_timeout": 30.0}) as memories:
        results = await asyncio.gather(*(memories.store(**draft(number)) for number in range(100)))
        assert len({result.id for result in results}) == (await memories.count(user_id=ALICE)).value == 100
