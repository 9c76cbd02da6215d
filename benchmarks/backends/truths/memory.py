"""Dicts, a numpy array and a log: the least that keeps memories in this process, or in a file."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.backends.truths.arrays import Matrix
from benchmarks.backends.truths.side import Record
from persistence.records import Vector

_LEASE = 60_000_000


class RawMemory:
    """A dict of memories, a dict of outbox entries, a matrix for each tenant."""

    def __init__(self) -> None:
        self._memories: dict[tuple[str, str], dict[str, Any]] = {}
        self._outbox: dict[tuple[str, str], tuple[int, int]] = {}
        self._matrices: dict[str, Matrix] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def write(self, record: Record) -> None:
        self._put(record)

    async def write_many(self, records: Sequence[Record]) -> None:
        for record in records:
            self._put(record)

    def _put(self, record: Record) -> None:
        item, now = record.item, time.time_ns() // 1000
        key = item.user_id, item.id
        former = self._memories.get(key)
        version = max(now, former["version"] + 1) if former else now
        self._memories[key] = {**item.fields(), "version": version}
        self._outbox[key] = version, now + _LEASE
        if former is None:
            self._matrices.setdefault(item.user_id, Matrix()).add(item.id, item.embedding)

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        ids = self._matrices[user_id].nearest(vector, limit)
        return [self._memories[user_id, one]["id"] for one in ids]


class RawFile(RawMemory):
    """The same behind a log: an append and an fsync for each call, in a thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def open(self) -> None:
        self._file = self._path.open("ab", buffering=0)

    async def close(self) -> None:
        self._file.close()

    async def write(self, record: Record) -> None:
        await asyncio.to_thread(self._append, [record])
        await super().write(record)

    async def write_many(self, records: Sequence[Record]) -> None:
        await asyncio.to_thread(self._append, records)
        await super().write_many(records)

    def _append(self, records: Sequence[Record]) -> None:
        lines = [json.dumps(_plain(record)).encode() for record in records]
        self._file.write(b"".join((b"\n".join(lines), *(r.item.embedding.tobytes() for r in records))))
        os.fsync(self._file.fileno())


def _plain(record: Record) -> list[Any]:
    item = record.item
    return [item.user_id, item.id, item.content, item.entities, item.relationships, str(record.write.write_id)]
