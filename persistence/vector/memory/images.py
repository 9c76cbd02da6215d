"""A store as one value: taken at a moment, put back later, here or in another store."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from persistence.errors import EmbeddingMismatchError, SchemaTooNewError, VectorStoreError
from persistence.files.frames import BadFrameError, frames, pack
from persistence.ports.outbox import Key
from persistence.projection import bucket
from persistence.vector.memory.encoding import FORMAT, chunks, parsed, to_effects
from persistence.vector.memory.migrations import migrated
from persistence.vector.memory.rows import About, Entry, Grave
from persistence.vector.memory.state import ABOUT, Place, Table, Transaction
from persistence.vector.memory.storage import Storage

_HEADER = b"diptych truth "
_END = b"end"
_CONTENT = frozenset({Table.MEMORIES, Table.TOMBSTONES})


class Captured:
    """A store at one moment: what points to its rows is copied, their embeddings stay in place until ``close``."""

    def __init__(self, storage: Storage) -> None:
        self._lock = storage.lock
        with self._lock:
            self._matrices = [tenant.matrix for tenant in storage.state.tenants.values()]
            for matrix in self._matrices:
                matrix.enter()
            self.rows = list(storage.state.every())

    def __iter__(self) -> Iterator[bytes]:
        return chunks(self.rows)

    def close(self) -> None:
        """Let the places of what was changed meanwhile be used again."""
        with self._lock:
            for matrix in self._matrices:
                matrix.leave()


def take(storage: Storage) -> bytes:
    """Return everything that a store holds."""
    with closing(Captured(storage)) as captured:
        payloads = [_HEADER + str(FORMAT).encode(), *captured, _END]
        return b"".join(pack(number, payload) for number, payload in enumerate(payloads))


def read(image: bytes) -> dict[Place, Any]:
    """Return the rows of an image. Raises VectorStoreError where it is none, or damaged; SchemaTooNewError."""
    try:
        header, *payloads = [frame.payload for frame in frames(io.BytesIO(image))]
    except (BadFrameError, ValueError) as error:
        raise VectorStoreError("This is no snapshot of a vector store, or it is damaged.") from error
    if not header.startswith(_HEADER) or payloads[-1:] != [_END]:
        raise VectorStoreError("This is no snapshot of a vector store, or its end is missing.")
    version = int(header.removeprefix(_HEADER))
    if version > FORMAT:
        raise SchemaTooNewError(f"The snapshot is of format {version}, and this version reads {FORMAT}.")
    effects: dict[Place, Any] = {}
    for payload in payloads[:-1]:
        effects.update(to_effects(migrated(version, parsed(payload))))
    return effects


def restore(tx: Transaction, rows: dict[Place, Any]) -> None:
    """Put the rows of an image in the place of all that is there.

    The floor is raised above every version that was given out, so none comes twice. The graph knows what happened
    since: so everything is listed for it, what the image has and, as tombstones, what it has not.

    Raises EmbeddingMismatchError.
    """
    now, then = tx.about, rows[ABOUT]
    if (then.model, then.dimension) != (now.model, now.dimension):
        raise EmbeddingMismatchError(
            f"The snapshot holds embeddings of {then.model!r} with {then.dimension} dimensions,"
            f" not of {now.model!r} with {now.dimension}."
        )
    former = dict(tx.state.every())
    for place in former:
        if place.table is not Table.ABOUT:
            tx.effects[place] = None
    tx.effects.update(rows)
    highest = max([now.floor, then.floor, *_versions(former), *_versions(rows)])
    tx.say(_about(now, then, highest))
    if tx.about.graph is not None:
        _list_everything(tx, _content(former), _content(rows), highest)


def _about(now: About, then: About, floor: int) -> About:
    """Keep the identity of the store that has a graph: the graph knows its truth by it."""
    kept = now if now.graph is not None else then
    counters = {name: max(getattr(now, name), getattr(then, name)) for name in ("claims", "tokens", "numbers")}
    return replace(kept, floor=floor, **counters)


def _content(rows: Iterable[Place]) -> set[Key]:
    return {place.key for place in rows if place.table in _CONTENT}


def _versions(rows: dict[Place, Any]) -> Iterable[int]:
    return (row.version for place, row in rows.items() if place.table in _CONTENT)


def _list_everything(tx: Transaction, former: set[Key], restored: set[Key], highest: int) -> None:
    for key in former - restored:
        tx.put(Table.TOMBSTONES, key, Grave(*key, highest + 1, bucket(*key), str(uuid.uuid4()), tx.moment))
    for key in former | restored:
        here = tx.get(Table.MEMORIES, key) or tx.get(Table.TOMBSTONES, key)
        tx.put(Table.OUTBOX, key, Entry(*key, str(uuid.uuid4()), here.version, 0, tx.moment, tx.moment))
