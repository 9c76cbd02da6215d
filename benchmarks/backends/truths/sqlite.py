"""SQLite by the standard library's driver: the adapter's statements on one connection, a thread for each call."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backends.truths.arrays import Matrix
from benchmarks.backends.truths.side import Record, prepare
from benchmarks.workload import DIMENSION
from persistence.records import Vector
from persistence.vector.sqlite import SqliteStore
from persistence.vector.sqlite.queries import Queries

_WRITES, _SESSION, _SEARCH = Queries("writes"), Queries("session"), Queries("search")
_STORE, _FOUND = _WRITES.get("store"), _WRITES.get("found")
_PUTS = [_WRITES.get(name) for name in ("put_memory", "put_embedding", "put_entry")]
_BEGIN, _COMMIT, _FULL = (_SESSION.get(name) for name in ("begin_write", "commit", "full"))
_EMBEDDINGS, _HIT = _SEARCH.get("embeddings"), _SEARCH.get("hit")
_LEASE = 60_000_000


class RawSqlite:
    """The same rows into the same tables. Search is by a matrix that is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matrix: Matrix | None = None
        self._numbers: dict[str, int] = {}

    async def open(self) -> None:
        await prepare(SqliteStore(self._path))
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=256)
        self._db.execute(_FULL)

    async def close(self) -> None:
        self._db.close()

    async def write(self, record: Record) -> None:
        await asyncio.to_thread(self._write, record)

    async def write_many(self, records: Sequence[Record]) -> None:
        await asyncio.to_thread(self._write_many, records)

    async def search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        return await asyncio.to_thread(self._search, user_id, vector, limit)

    def _write(self, record: Record) -> None:
        self._db.execute(_BEGIN)
        number = self._next()
        key = {"user_id": record.item.user_id, "ids": json.dumps([record.item.id])}
        self._db.execute(_FOUND, key).fetchall()
        for statement, row in zip(_PUTS, _rows(record, number, time.time_ns() // 1000), strict=True):
            self._db.execute(statement, row)
        self._db.execute(_COMMIT)

    def _write_many(self, records: Sequence[Record]) -> None:
        self._db.execute(_BEGIN)
        number, now = self._next(), time.time_ns() // 1000
        made = [_rows(record, number + place, now) for place, record in enumerate(records)]
        for statement, rows in zip(_PUTS, zip(*made, strict=True), strict=True):
            self._db.executemany(statement, rows)
        self._db.execute(_COMMIT)

    def _search(self, user_id: str, vector: Vector, limit: int) -> list[str]:
        if self._matrix is None:
            self._matrix = self._read(user_id)
        ids = self._matrix.nearest(vector, limit)
        return [self._db.execute(_HIT, (self._numbers[one],)).fetchall()[0][0] for one in ids]

    def _next(self) -> int:
        return int(self._db.execute(_STORE).fetchall()[0][2]) + 1

    def _read(self, user_id: str) -> Matrix:
        matrix = Matrix()
        for memory_id, number, embedding in self._db.execute(_EMBEDDINGS, {"user_id": user_id, "after": 0}):
            matrix.add(memory_id, np.frombuffer(embedding, dtype="<f4", count=DIMENSION))
            self._numbers[memory_id] = number
        return matrix


def _rows(record: Record, number: int, now: int) -> tuple[tuple[Any, ...], ...]:
    """Return a memory, its embedding and its entry as the statements take them."""
    item, write = record.item, record.write
    said = [json.dumps(part) for part in ({}, record.entities(), record.relationships())]
    write_id = str(write.write_id)
    memory = (item.user_id, item.id, None, None, item.content, *said, False, write.digest, write.bucket, write_id)
    entry = (item.user_id, item.id, write_id, now, now, now + _LEASE, False)
    return (*memory, number, now, now, now), (number, item.embedding.tobytes()), entry
