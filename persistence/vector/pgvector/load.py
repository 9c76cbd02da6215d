"""Bulk loads: the vector index is put off while an empty store is filled, and built at the end.

The one who loads holds an advisory lock on a session of its own. An index that is missing while nobody holds that
lock was left by a load that died; whoever ends a load next builds it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from persistence.vector.pgvector import index
from persistence.vector.pgvector.connecting import Connection, direct
from persistence.vector.pgvector.errors import translated
from persistence.vector.pgvector.queries import Queries
from persistence.vector.pgvector.session import Sessions

_SQL = Queries("load")


class Loads:
    """What the port says of bulk loads."""

    def __init__(self, info: str, sessions: Sessions, connect_timeout: float, memory_mb: int) -> None:
        self._info = info
        self._sessions = sessions
        self._connect_timeout = connect_timeout
        self._memory_mb = memory_mb
        self.dimension = 0
        self._held = AsyncExitStack()
        self._loader: Connection | None = None

    async def begin(self) -> bool:
        """Put off the index: of an empty store, or one that a load left without it."""
        if not index.indexable(self.dimension) or self._loader is not None or not await self._become_loader():
            return False
        put_off = False
        try:
            put_off = await self._put_off()
        finally:
            if not put_off:
                await self.close()
        return put_off

    async def end(self) -> None:
        """Build the index, if it is missing and no one else loads."""
        if not index.indexable(self.dimension) or not (self._loader or await self._become_loader()):
            return
        try:
            if self._loader is not None and not await self._indexed(self._loader):
                with translated():
                    await index.build(self._loader, self.dimension, self._memory_mb)
                    await self._loader.execute(_SQL.get("analyse"))
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up the lock, if it is ours. An index that was put off stays missing."""
        self._loader = None
        await self._held.aclose()

    async def _become_loader(self) -> bool:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(direct(self._info, self._connect_timeout, proven=True))
            await self._sessions.configure(connection)
            row = await (await connection.execute(_SQL.get("try_lock_load"))).fetchone()
            if row != (True,):
                return False
            self._loader = connection
            self._held = stack.pop_all()
        return True

    async def _put_off(self) -> bool:
        if self._loader is None:
            return False
        with translated():
            if not await self._indexed(self._loader):
                return True
            row = await (await self._loader.execute(_SQL.get("any_memory"))).fetchone()
            if row == (True,):
                return False
            await index.drop(self._loader)
            return True

    async def _indexed(self, connection: Connection) -> bool:
        row = await (await connection.execute(_SQL.get("indexed"))).fetchone()
        return row == (True,)
