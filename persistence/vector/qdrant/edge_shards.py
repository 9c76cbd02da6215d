"""The open folder of the embedded engine: its lock, its shards, and when the disk has what was written.

The engine writes into files that are mapped into memory, its log of changes among them. So an acknowledged write
outlives this process, however that ends. It outlives the machine once it was flushed, which is a few hundred calls of
the system: measured 0.4 to 1.4 s on a disk, beside 1 to 5 ms for a write. So that is done ``flush_every`` seconds after
the first write that was not flushed, and at close; where that is 0, before each write is acknowledged.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import anyio.to_thread
import qdrant_edge as edge

from persistence.errors import OutcomeUnknownError, VectorStoreError, VectorStoreUnavailableError
from persistence.log import get_logger
from persistence.vector.qdrant import edge_folder
from persistence.vector.qdrant.edge_folder import translated

log = get_logger("qdrant")


class Shards:
    """The shards of one folder, shared by all who have opened it. ``flush_every``: seconds, see above."""

    def __init__(self, folder: Path, *, flush_every: float = 60.0) -> None:
        self._folder = folder
        self._flush_every = flush_every
        self._unflushed: set[str] = set()
        self._timer: threading.Timer | None = None
        self._shards: dict[str, edge.EdgeShard] = {}
        self._lock: int | None = None
        self._opened = 0
        self._one_writer = threading.Lock()
        self._one_loader = threading.Lock()

    async def can_open(self, collection: str) -> bool:
        return await anyio.to_thread.run_sync(edge_folder.can_open, self._folder, collection)

    async def open(self) -> None:
        await anyio.to_thread.run_sync(self._open)

    def _open(self) -> None:
        with self._one_writer:
            if self._lock is None:
                self._lock = edge_folder.locked(self._folder)
            self._opened += 1

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        with self._one_writer:
            self._opened = max(0, self._opened - 1)
            if self._opened or self._lock is None:
                return
            try:
                self._flush()
            finally:
                self._let_go(self._lock)

    def _let_go(self, lock: int) -> None:
        self._unflushed.clear()
        try:
            while self._shards:
                _, shard = self._shards.popitem()
                with translated():
                    shard.close()
        finally:
            os.close(lock)
            self._lock = None

    def _check_open(self) -> None:
        if self._lock is None:
            raise VectorStoreUnavailableError("The vector store is not open.", hint="open it first")

    def _shard(self, collection: str) -> edge.EdgeShard:
        self._check_open()
        with self._one_loader:
            if collection not in self._shards:
                with translated():
                    self._shards[collection] = edge.EdgeShard.load(str(self._folder / collection))
            return self._shards[collection]

    def _keep(self) -> None:
        """See that what was written comes to the disk: at once, or later."""
        if not self._unflushed:
            return
        if self._flush_every == 0:
            try:
                self._flush()
            except VectorStoreError as error:
                raise OutcomeUnknownError("A write was done, but the disk may not have it.") from error
        elif self._timer is None:
            self._timer = threading.Timer(self._flush_every, self._flush_later)
            self._timer.daemon = True
            self._timer.start()

    def _flush(self) -> None:
        """Wait until the disk has everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with translated():
            for collection in self._unflushed:
                self._shards[collection].flush()
        self._unflushed.clear()

    def _flush_later(self) -> None:
        with self._one_writer:
            try:
                self._flush()
            except VectorStoreError as error:
                log.error("The disk failed; the next write tries it again.", action="flush", reason=error.message)  # noqa: TRY400 - said
