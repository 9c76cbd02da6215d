"""The guard around versions: what concurrent writers, deleters and collectors may do to each other.

A rival's transaction is held open on a connection of the test's; the store's call is known to wait for it when Postgres
lists its lock as not granted.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from persistence.errors import OutcomeUnknownError, VectorStoreUnavailableError
from persistence.filters import Filter
from persistence.ports.outbox import Key
from persistence.ports.vector import GraphIdentity, Resolution, WriteMode, Written
from persistence.vector.pgvector import PgVectorStore
from tests.contract.vector.making import AT_ONCE, DIMENSION, NO_GRAPH, a_delete, a_write, settlement, vector_of

A = Key("ada", "a")
Connection = psycopg.AsyncConnection


@pytest.fixture
async def store(postgres_url: str, pg_schema: str) -> AsyncIterator[PgVectorStore]:
    store = PgVectorStore(postgres_url, schema=pg_schema, pool_size=4)
    try:
        await store.open(model="test", dimension=DIMENSION)
        yield store
    finally:
        await store.close()


@pytest.fixture
async def rival(postgres_url: str, pg_schema: str) -> AsyncIterator[Connection]:
    """Return a connection of the test's own, its transactions ended by the test."""
    async with await Connection.connect(postgres_url, prepare_threshold=None) as connection:
        await connection.execute("SELECT set_config('search_path', %s, false)", [f"{pg_schema}, public"])
        await connection.commit()
        yield connection
        await connection.rollback()


@pytest.fixture
async def watcher(postgres_url: str) -> AsyncIterator[Connection]:
    async with await Connection.connect(postgres_url, autocommit=True) as connection:
        yield connection


async def until_blocked(watcher: Connection, rival: Connection, count: int = 1) -> None:
    """Wait until so many sessions wait for the rival."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(20):
        while (await (await watcher.execute(query, [rival.info.backend_pid])).fetchone())[0] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def delete_in(rival: Connection, memory_id: str = "a") -> int:
    """Delete a memory in the rival's transaction, as the store does; return the tombstone's version."""
    cursor = await rival.execute(
        "SELECT version FROM delete_memories("
        "ARRAY['ada'], ARRAY[%s], ARRAY[%s::uuid], ARRAY[1], NULL, true, 0, false, NULL)",
        [memory_id, uuid.uuid4()],
    )
    return (await cursor.fetchone())[0]


async def write_in(rival: Connection, memory_id: str, write_id: uuid.UUID, *, graph: bool = True) -> int:
    """Write a memory in the rival's transaction, as the store does; return its version."""
    cursor = await rival.execute(
        "SELECT version FROM write_memory('ada', %s, NULL, NULL, 'x', '{}', '[]', '[]', false, %s::vector, 1, 1, NULL,"
        " %s, 'replace', NULL, %s, 0, false, NULL)",
        [memory_id, str(vector_of(memory_id).tolist()), write_id, graph],
    )
    return (await cursor.fetchone())[0]


#: What a writer must not do: take the lock, read the old versions and write, all in one statement's snapshot.
ONE_SNAPSHOT = """
WITH lock AS (
    INSERT INTO outbox AS o (user_id, id, entry_id, version, due_at)
    SELECT 'ada', 'a', gen_random_uuid(), micros(clock_timestamp()), clock_timestamp()
    ON CONFLICT (user_id, id) DO UPDATE SET claim = o.claim RETURNING o.user_id
)
SELECT greatest(micros(statement_timestamp()), t.version + 1)
FROM lock LEFT JOIN tombstones AS t ON t.user_id = 'ada' AND t.id = 'a'
"""


@pytest.mark.parametrize("batched", [False, True])
async def test_a_store_that_waited_for_a_delete(
    store: PgVectorStore,
    rival: Connection,
    watcher: Connection,
    batched: bool,  # noqa: FBT001
) -> None:
    """A store that waited for a delete, begun before it, gets a version above its tombstone.

    The guard: the old versions are read in a later statement than the lock is taken in (judge_writes, steps 1 and 2),
    and the new version is above the tombstone's, whatever the clock said when the store began.
    """
    await store.write(a_write("a"), AT_ONCE)
    await rival.execute("SELECT FROM outbox FOR UPDATE")
    call = store.write_many([a_write("a")], AT_ONCE) if batched else store.write(a_write("a"), AT_ONCE)
    waiting = asyncio.create_task(call)
    await until_blocked(watcher, rival)
    tombstone = await delete_in(rival)
    await rival.commit()
    answer = await waiting
    (receipt,) = answer if isinstance(answer, list) else [answer]
    assert receipt.version > tombstone
    truth = (await store.read([A]))[A]
    assert (truth.memory.version, truth.tombstone) == (receipt.version, None)


async def test_one_snapshot_would_not_do(
    store: PgVectorStore, rival: Connection, watcher: Connection, postgres_url: str, pg_schema: str
) -> None:
    """The same in one statement gets a version below the tombstone: that is why the guard is there."""
    await store.write(a_write("a"), AT_ONCE)
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    async with await Connection.connect(postgres_url, autocommit=True) as naive:
        await naive.execute("SELECT set_config('search_path', %s, false)", [f"{pg_schema}, public"])
        await rival.execute(
            "SELECT 1 FROM judge_writes(ARRAY['ada'], ARRAY['a'], ARRAY[%s::uuid], 'replace', NULL, true, 0, NULL)",
            [uuid.uuid4()],
        )
        waiting = asyncio.create_task(naive.execute(ONE_SNAPSHOT))
        await until_blocked(watcher, rival)
        tombstone = await delete_in(rival)
        await rival.commit()
        (version,) = await (await waiting).fetchone()
    assert version < tombstone


async def test_a_delete_that_waited_for_a_store(store: PgVectorStore, rival: Connection, watcher: Connection) -> None:
    """A delete that waited for a store deletes what was stored, above its version."""
    await write_in(rival, "a", uuid.uuid4())
    deleting = asyncio.create_task(store.delete_many([a_delete("a")], AT_ONCE))
    await until_blocked(watcher, rival)
    await rival.commit()
    (gone,) = await deleting
    assert (gone.status, gone.tracked) == (Written.WRITTEN, True)
    assert (await store.read([A]))[A].tombstone.version == gone.version


async def test_resolve_waits_for_the_writer(store: PgVectorStore, rival: Connection, watcher: Connection) -> None:
    """Asked what became of a write that is still under way, the store waits for it."""
    write_id = uuid.uuid4()
    await write_in(rival, "a", write_id)
    resolving = asyncio.create_task(store.resolve(A, write_id, None))
    await until_blocked(watcher, rival)
    await rival.commit()
    assert await resolving == Resolution.WRITTEN


async def test_a_settlement_that_waited_for_a_store(
    store: PgVectorStore, rival: Connection, watcher: Connection
) -> None:
    """Settling an entry that a writer is taking over removes nothing."""
    await store.write(a_write("a"), AT_ONCE)
    old = (await store.pending([A]))[A]
    await delete_in(rival)
    settling = asyncio.create_task(store.settle([settlement(old)]))
    await until_blocked(watcher, rival)
    await rival.commit()
    assert await settling == 0
    assert (await store.pending([A]))[A].entry_id != old.entry_id


async def test_collected_tombstones_and_a_clock_set_back(store: PgVectorStore, rival: Connection) -> None:
    """After a tombstone from the future was collected, new versions are above it, of whatever memory.

    The guard: the floor, raised in the transaction that removes the tombstone. A clock set back is a version far ahead.
    """
    await store.write(a_write("a"), AT_ONCE)
    await rival.execute("UPDATE memories SET version = version + 10^12::bigint")
    await rival.commit()
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    assert await store.collect_tombstones(await store.tombstones_due(age=0, limit=9)) == 1
    assert (await store.info()).floor == gone.version
    assert (await store.write(a_write("a"), AT_ONCE)).version > gone.version
    (other,) = await store.write_many([a_write("b")], AT_ONCE)
    assert other.version > gone.version


async def test_a_collection_beside_a_store(store: PgVectorStore, rival: Connection, watcher: Connection) -> None:
    """A tombstone that a store is taking away is not collected, and what is stored is above it."""
    await store.write(a_write("a"), AT_ONCE)
    (gone,) = await store.delete_many([a_delete("a")], AT_ONCE)
    await store.settle([settlement(entry) for entry in (await store.pending([A])).values()])
    due = await store.tombstones_due(age=0, limit=9)
    version = await write_in(rival, "a", uuid.uuid4())
    collecting = asyncio.create_task(store.collect_tombstones(due))
    await until_blocked(watcher, rival)
    await rival.commit()
    assert await collecting == 0
    assert version > gone.version


async def test_a_graph_is_registered_beside_a_write_that_saw_none(
    store: PgVectorStore, rival: Connection, watcher: Connection
) -> None:
    """Registering a graph waits for writes that saw none, so that none of their memories is missed by its listing.

    The guard: the shared advisory lock of writes without a graph (judge_writes).
    """
    await write_in(rival, "a", uuid.uuid4(), graph=False)
    registering = asyncio.create_task(store.register_graph(GraphIdentity(uuid.uuid4(), "db"), former=None))
    await until_blocked(watcher, rival)
    await rival.commit()
    await registering
    assert list(await store.pending([A])) == [A]
    assert (await store.write(a_write("b"), NO_GRAPH)).tracked


async def test_an_older_transaction_that_commits_later(store: PgVectorStore, rival: Connection) -> None:
    """The feed misses no commit: what an older transaction commits after a newer one was read comes all the same."""
    await delete_in(rival, "nothing")
    await write_in(rival, "late", uuid.uuid4())
    await store.write(a_write("early"), AT_ONCE)
    first = await store.changes("ada", cursor=None, limit=9)
    assert [memory.id for memory in first.memories] == ["early"]
    await rival.commit()
    second = await store.changes("ada", cursor=first.cursor, limit=9)
    assert "late" in [memory.id for memory in second.memories]


async def test_batches_in_any_order(store: PgVectorStore) -> None:
    """Batches, deletes, settlements and claims of the same memories at once, in random orders (seed 3): no deadlock."""
    names = [f"{i:02}" for i in range(40)]
    rng = random.Random(3)

    async def worker() -> None:
        for _ in range(6):
            some = rng.sample(names, 20)
            await store.write_many([a_write(name) for name in some], AT_ONCE)
            await store.delete_many([a_delete(name) for name in rng.sample(names, 10)], AT_ONCE)
            entries = list((await store.pending([Key("ada", name) for name in rng.sample(names, 20)])).values())
            rng.shuffle(entries)
            await store.settle([settlement(entry) for entry in entries])
            await store.claim(limit=7, lease=0)

    await asyncio.gather(*(worker() for _ in range(4)))
    found = await store.read([Key("ada", name) for name in names])
    assert all((truth.memory is None) != (truth.tombstone is None) for truth in found.values())


async def test_racing_writers_of_one_memory(store: PgVectorStore) -> None:
    """Racing writers of one memory get distinct versions, and the highest one's content is what stays."""
    writes = [a_write("a", content=str(i)) for i in range(24)]
    receipts = await asyncio.gather(*(store.write(write, AT_ONCE) for write in writes))
    versions = [receipt.version for receipt in receipts]
    assert len(set(versions)) == len(versions)
    memory = (await store.read([A]))[A].memory
    last = versions.index(max(versions))
    assert (memory.version, memory.content) == (versions[last], writes[last].content)
    assert (await store.pending([A]))[A].entry_id == writes[last].write_id


async def test_a_racing_resend(store: PgVectorStore) -> None:
    """A write and its resend at the same time are one write."""
    for i in range(10):
        write = a_write(str(i), mode=WriteMode.KEEP_LIVE)
        answers = await asyncio.gather(*(store.write(write, AT_ONCE) for _ in range(3)))
        assert len({(answer.status, answer.version) for answer in answers}) == 1


async def test_one_round_trip(store: PgVectorStore, tmp_path: object) -> None:
    """A single write is one message to the server and one answer, in autocommit."""
    await store.write(a_write("a"), AT_ONCE)
    path = f"{tmp_path}/trace"
    async with store._sessions.use() as connection:
        with open(path, "w") as file:  # noqa: ASYNC230, PTH123  # libpq wants the file's descriptor
            connection.pgconn.trace(file.fileno())
            store._sessions, sessions = _Only(connection), store._sessions
            await store.write(a_write("b"), AT_ONCE)
            store._sessions = sessions
            connection.pgconn.untrace()
    with open(path) as file:  # noqa: ASYNC230, PTH123
        messages = [line.split("\t") for line in file if line.count("\t") > 2]
    sent = [fields[3].strip() for fields in messages if fields[1] == "F"]
    assert (sent.count("Sync"), sent.count("Query")) == (1, 0), sent


class _Only:
    """Sessions that lend one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def use(self, **_: bool) -> _Only:
        return self

    async def __aenter__(self) -> Connection:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_connections_that_the_server_closed(store: PgVectorStore, watcher: Connection) -> None:
    """After the server closed every idle connection (a restart), the next calls succeed: a look tells the dead."""
    await asyncio.gather(*(store.write(a_write(str(i)), AT_ONCE) for i in range(8)))
    query = sql.SQL(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'diptych' AND pid <>"
        " pg_backend_pid() AND datname = current_database()"
    )
    await watcher.execute(query)
    receipts = await asyncio.gather(*(store.write(a_write(str(i)), AT_ONCE) for i in range(8)))
    assert {Written.WRITTEN} == {receipt.status for receipt in receipts}


async def terminate_the_blocked(watcher: Connection, rival: Connection) -> None:
    await watcher.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))",
        [rival.info.backend_pid],
    )


async def test_a_connection_lost_while_writing(store: PgVectorStore, rival: Connection, watcher: Connection) -> None:
    """A write whose connection is lost before its answer has an unknown outcome; asked afterwards, it was not written.

    A batch's transaction lost before its commit was sent is known not to have happened.
    """
    await delete_in(rival, "other")
    await store.write(a_write("a"), AT_ONCE)
    await rival.execute("SELECT FROM outbox WHERE id = 'a' FOR UPDATE")
    write = a_write("a")
    writing = asyncio.create_task(store.write(write, AT_ONCE))
    await until_blocked(watcher, rival)
    await terminate_the_blocked(watcher, rival)
    with pytest.raises(OutcomeUnknownError):
        await writing
    batch = asyncio.create_task(store.write_many([a_write("a")], AT_ONCE))
    await until_blocked(watcher, rival)
    await terminate_the_blocked(watcher, rival)
    with pytest.raises(VectorStoreUnavailableError):
        await batch
    await rival.rollback()
    version = (await store.read([A]))[A].version
    assert await store.resolve(A, write.write_id, version) == Resolution.NOT_WRITTEN


async def test_a_statement_that_takes_too_long(
    store: PgVectorStore, rival: Connection, postgres_url: str, pg_schema: str
) -> None:
    """Nothing waits for ever: the server ends a statement after the time given, and nothing was written."""
    written = await store.write(a_write("a"), AT_ONCE)
    hasty = PgVectorStore(postgres_url, schema=pg_schema, statement_timeout=0.2)
    try:
        await hasty.open(model="test", dimension=DIMENSION)
        await rival.execute("SELECT FROM outbox FOR UPDATE")
        with pytest.raises(VectorStoreUnavailableError):
            await hasty.write(a_write("a"), AT_ONCE)
    finally:
        await hasty.close()
    assert (await store.read([A]))[A].version == written.version


async def test_cancelled_calls_leak_no_connections(
    store: PgVectorStore, rival: Connection, watcher: Connection
) -> None:
    """Calls cancelled at any point, waiting or not, give their connections back; a pool of four serves on."""
    await store.write(a_write("a"), AT_ONCE)
    await rival.execute("SELECT FROM outbox FOR UPDATE")
    rng = random.Random(11)
    for _ in range(5):
        calls = [
            asyncio.create_task(call)
            for call in (
                store.write(a_write("a"), AT_ONCE),
                store.write_many([a_write(name) for name in "abc"], AT_ONCE),
                store.delete_many([a_delete("a")], AT_ONCE),
                store.search("ada", vector_of("a"), limit=3, where=Filter()),
                store.write(a_write("z"), AT_ONCE),
                store.claim(limit=1, lease=1),
            )
        ]
        await asyncio.sleep(rng.random() * 0.02)
        for call in calls:
            call.cancel()
        # The server may be told to cancel before it has begun; then it is the second time that ends the call.
        _, stuck = await asyncio.wait(calls, timeout=1)
        for call in stuck:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await rival.rollback()
    receipts = await asyncio.gather(*(store.write(a_write(str(i)), AT_ONCE) for i in range(16)))
    assert len(receipts) == 16
