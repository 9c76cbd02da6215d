"""Rows as bytes, for the files and for snapshots: JSON in columns, and behind it the embeddings as they lie in memory.

A payload is one line of JSON, ``[[table, [row, …], [key, …]], …]`` (the rows that are put, the keys that go), and after
the line's end the embeddings of its memories, in their order, as little-endian float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from persistence.ports.outbox import Key
from persistence.ports.runs import Depth, Inconsistency, Kind, RunKind, RunState
from persistence.ports.vector import GraphIdentity
from persistence.vector.memory.rows import About, Entry, Grave, Row
from persistence.vector.memory.run_rows import Found, Lease, RunRow
from persistence.vector.memory.state import ABOUT, Effects, Place, State, Table

#: The version of what is written here; ``migrations`` knows the older ones.
FORMAT = 2
#: Rows in one payload of a snapshot.
_CHUNK = 5_000

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=str).encode


class Part(NamedTuple):
    """What becomes of one table's rows."""

    table: str
    rows: list[list[Any]]
    gone: list[Any]


class Payload(NamedTuple):
    """A payload in its two parts."""

    parts: list[Part]
    embeddings: bytes | memoryview


def to_bytes(effects: Effects) -> bytes:
    """Return a payload that says what becomes of which rows; none where nothing does."""
    if not effects:
        return b""
    parts: dict[Table, Part] = {}
    embeddings = []
    for (table, key), row in effects.items():
        part = parts.setdefault(table, Part(table.value, [], []))
        if row is None:
            part.gone.append(key)
        else:
            part.rows.append(_COLUMNS[table](row))
            if table is Table.MEMORIES:
                embeddings.append(row.embedding.astype("<f4").tobytes())
    return b"".join((_encode(list(parts.values())).encode("utf-8", "surrogatepass"), b"\n", *embeddings))


def chunks(rows: Iterable[tuple[Place, Any]]) -> Iterator[bytes]:
    """Return all rows as payloads."""
    source = iter(rows)
    while chunk := dict(islice(source, _CHUNK)):
        yield to_bytes(chunk)


def parsed(payload: bytes) -> Payload:
    """Take a payload apart."""
    end = payload.index(b"\n")
    parts = [Part(*part) for part in json.loads(payload[:end].decode("utf-8", "surrogatepass"))]
    return Payload(parts, memoryview(payload)[end + 1 :])


def to_effects(payload: Payload) -> dict[Place, Any]:
    """Return what becomes of which rows."""
    effects: dict[Place, Any] = {}
    for part in payload.parts:
        table = Table(part.table)
        if table is Table.MEMORIES:
            rows = _memories(part.rows, payload.embeddings)
            effects.update({Place(table, Key(row.user_id, row.id)): row for row in rows})
        else:
            made = map(_ROWS[table], part.rows)
            effects.update({Place(table, _KEYS[table](row)): row for row in made})
        effects.update({Place(table, _key(table, key)): None for key in part.gone})
    return effects


def load(state: State, payload: Payload) -> None:
    """Do what a payload says. Memories, of which there are many, are put straight in."""
    others = [part for part in payload.parts if part.table != Table.MEMORIES]
    state.apply(to_effects(Payload(others, b"")))
    for part in payload.parts:
        if part.table == Table.MEMORIES:
            state.apply({Place(Table.MEMORIES, Key(*key)): None for key in part.gone})
            state.put(_memories(part.rows, payload.embeddings))


def _memories(rows: list[list[Any]], embeddings: bytes | memoryview) -> Iterator[Row]:
    if not rows:
        return iter(())
    matrix = np.frombuffer(embeddings, dtype="<f4").reshape(len(rows), -1)
    return (Row(*(*columns, vector)) for columns, vector in zip(rows, matrix, strict=True))


def _key(table: Table, key: Any) -> Any:
    if table in {Table.MEMORIES, Table.TOMBSTONES, Table.OUTBOX}:
        return Key(*key)
    return UUID(key) if table is Table.RUNS else key


# --- rows and their columns -------------------------------------------------------------------------------------------


def _plain(row: Any) -> list[Any]:
    return [getattr(row, field.name) for field in fields(row)]


def _about_columns(about: About) -> list[Any]:
    graph = None if about.graph is None else [about.graph.graph_id, about.graph.database_id]
    return [*_plain(about)[:4], graph, about.claims, about.tokens, about.numbers]


def _about(columns: list[Any]) -> About:
    store_id, model, dimension, floor, graph, *counters = columns
    identity = None if graph is None else GraphIdentity(UUID(graph[0]), graph[1])
    return About(UUID(store_id), model, dimension, floor, identity, *counters)


def _run(columns: list[Any]) -> RunRow:
    run_id, kind, user_id, state, *rest = columns
    return RunRow(UUID(run_id), RunKind(kind), user_id, RunState(state), *rest)


def _found_columns(found: Found) -> list[Any]:
    number, _, *rest = _plain(found)
    return [number, list(astuple(found.one)), *rest]


def _found(columns: list[Any]) -> Found:
    number, said, run_id, first_seen, last_seen, resolved_at, resolved_by = columns
    user_id, memory_id, kind, depth, vector, graph, entity, reason = said
    pair = None if entity is None else (entity[0], entity[1])
    one = Inconsistency(user_id, memory_id, Kind(kind), Depth(depth), vector, graph, pair, reason)
    return Found(number, one, _uuid(run_id), first_seen, last_seen, resolved_at, _uuid(resolved_by))


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _lease(columns: list[Any]) -> Lease:
    name, holder, token, expires_at = columns
    return Lease(name, UUID(holder), token, expires_at)


_COLUMNS: Mapping[Table, Callable[[Any], list[Any]]] = {
    Table.ABOUT: _about_columns,
    Table.MEMORIES: lambda row: row.columns,
    Table.TOMBSTONES: _plain,
    Table.OUTBOX: _plain,
    Table.RUNS: _plain,
    Table.FOUND: _found_columns,
    Table.LEASES: _plain,
}
_ROWS: Mapping[Table, Callable[[list[Any]], Any]] = {
    Table.ABOUT: _about,
    Table.TOMBSTONES: lambda columns: Grave(*columns),
    Table.OUTBOX: lambda columns: Entry(*columns),
    Table.RUNS: _run,
    Table.FOUND: _found,
    Table.LEASES: _lease,
}
_KEYS: Mapping[Table, Callable[[Any], Any]] = {
    Table.ABOUT: lambda _: ABOUT.key,
    Table.TOMBSTONES: lambda row: Key(row.user_id, row.id),
    Table.OUTBOX: lambda row: row.key,
    Table.RUNS: lambda row: row.id,
    Table.FOUND: lambda row: row.number,
    Table.LEASES: lambda row: row.name,
}
