"""Dicts and a log: the least that keeps a graph in this process, or in a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from persistence.ports.graph import GraphWrite

Entity = tuple[str, str, str]


class RawMemory:
    """Memories with their versions, and for each entity who mentions it and which edges start there."""

    def __init__(self) -> None:
        self._memories: dict[tuple[str, str], GraphWrite] = {}
        self._mentions: dict[Entity, dict[str, Mapping[str, Any]]] = {}
        self._edges: dict[Entity, list[tuple[str, Entity, Mapping[str, Any], str]]] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        for write in writes:
            former = self._memories.get((write.user_id, write.id))
            if former is None or write.version >= former.version:
                self._put(write)

    def _put(self, write: GraphWrite) -> None:
        self._memories[write.user_id, write.id] = write
        if write.fragment is None:
            return
        ends = [(write.user_id, mention.type, mention.key) for mention in write.fragment.mentions]
        for end, mention in zip(ends, write.fragment.mentions, strict=True):
            self._mentions.setdefault(end, {})[write.id] = mention.properties
        for edge in write.fragment.edges:
            stated = edge.type, ends[edge.target], edge.properties, write.id
            self._edges.setdefault(ends[edge.source], []).append(stated)


class RawFile(RawMemory):
    """The same behind a log: an append and an fsync for each call, in a thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def open(self) -> None:
        self._file = self._path.open("ab", buffering=0)

    async def close(self) -> None:
        self._file.close()

    async def apply(self, writes: Sequence[GraphWrite]) -> None:
        await asyncio.to_thread(self._append, writes)
        await super().apply(writes)

    def _append(self, writes: Sequence[GraphWrite]) -> None:
        lines = [json.dumps(_plain(write)).encode() for write in writes]
        self._file.write(b"\n".join(lines))
        os.fsync(self._file.fileno())


def _plain(write: GraphWrite) -> list[Any]:
    if write.fragment is None:
        return [write.user_id, write.id, write.version]
    fragment = write.fragment
    mentions = [[m.type, m.key, m.name, dict(m.properties)] for m in fragment.mentions]
    edges = [[e.source, e.type, e.target, dict(e.properties)] for e in fragment.edges]
    return [write.user_id, write.id, write.version, fragment.digest, fragment.caption, mentions, edges]
