"""The vector store in one SQLite file: the parts of this package, put together as the port asks."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio.to_thread

from persistence.ports.capabilities import Capability
from persistence.ports.reader import Reader
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.sqlite.binding import bind_model, read_info, register_graph
from persistence.vector.sqlite.checking import Checking
from persistence.vector.sqlite.migrate import BUSY_TIMEOUT, admit, ensure
from persistence.vector.sqlite.outbox import Outbox
from persistence.vector.sqlite.reads import Reads
from persistence.vector.sqlite.runs import Runs
from persistence.vector.sqlite.search import Search
from persistence.vector.sqlite.session import Session, Synchronous
from persistence.vector.sqlite.sessions import Sessions, wall_clock
from persistence.vector.sqlite.transfer import Transfers
from persistence.vector.sqlite.writes import Writes

_UNSAFE = "synchronous is normal: a crash of the machine can lose writes that were acknowledged."


class _Reading(Reads, Transfers, Outbox, Checking, Runs):
    """What reads of the truth, on the sessions it is given."""

    async def info(self) -> StoreInfo:
        return await self._sessions.read(read_info)


class SqliteStore(Search, Writes, _Reading):
    """The truth in one SQLite file. Nothing is opened before ``open``.

    ``auto_upgrade``: whether ``open`` may make or upgrade the schema. ``readers``: reads that go on at once.
    ``busy_timeout``: seconds to wait for another process that writes. ``synchronous``: ``full``, an acknowledged write
    is on the disk; ``normal``, it outlives the process, but perhaps not the machine. ``cache_mb``: the most memory that
    embeddings may take for search.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        auto_upgrade: bool = True,
        readers: int = 4,
        busy_timeout: float = BUSY_TIMEOUT,
        synchronous: Synchronous = "full",
        cache_mb: int = 256,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._path = Path(path).absolute()
        self._auto_upgrade = auto_upgrade
        self._synchronous = synchronous
        sessions = Sessions(
            self._path, readers=readers, busy_timeout=busy_timeout, synchronous=synchronous, clock=clock
        )
        super().__init__(sessions, cache_mb)

    @property
    def kind(self) -> str:
        return "sqlite"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset(Capability) - {Capability.VECTOR_INDEX}

    async def open(self, *, model: str, dimension: int) -> StoreInfo:
        def prepare(session: Session) -> StoreInfo:
            ensure(session, auto_upgrade=self._auto_upgrade)
            return session.write(lambda own: bind_model(own, model, dimension), "full")

        await anyio.to_thread.run_sync(partial(admit, self._path, auto_upgrade=self._auto_upgrade))
        info = await self._sessions.open(prepare)
        self._dimension = dimension
        return info

    async def close(self) -> None:
        await self._sessions.close()

    async def ping(self) -> str:
        await self._sessions.read(read_info)
        return f"SQLite {sqlite3.sqlite_version}"

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        async with self._sessions.still() as sessions:
            yield _Reading(sessions)

    async def register_graph(self, identity: GraphIdentity, *, former: GraphIdentity | None) -> GraphIdentity:
        now = self._sessions.now()
        return await self._sessions.write(lambda session: register_graph(session, identity, former, now))

    async def durability(self) -> list[str]:
        """Return a sentence for each setting that makes an acknowledged write less than durable."""
        return [_UNSAFE] if self._synchronous == "normal" else []

    async def begin_load(self) -> bool:
        """There is no vector index to put off."""
        return False

    async def end_load(self) -> None:
        """There is no vector index to build."""
