"""A walk over every memory of truth, page by page, beside what the graph holds of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from persistence.ports.graph import GraphMemory
from persistence.ports.outbox import Key
from persistence.ports.runs import Depth
from persistence.records import Memory
from sync.compare import differences
from sync.pair import Pair

PAGE = 500


async def unlike_memories(
    pair: Pair, user_id: str | None, after: Key | None
) -> AsyncGenerator[tuple[Key, Sequence[Key]]]:
    """Yield for each page its last key, and the memories whose copy differs in edges or properties."""
    while True:
        start = after
        page = await pair.truth(lambda store, start=start: store.walk(user_id, after=start, limit=PAGE))  # type: ignore[misc]  # mypy does not infer a default
        if not page:
            return
        keys = [Key(memory.user_id, memory.id) for memory in page]
        copies = await pair.graph(lambda store, keys=keys: store.read(keys))  # type: ignore[misc]  # mypy does not infer a default
        await pair.throttle.rows(len(page))
        yield keys[-1], await asyncio.to_thread(_unlike, page, copies)
        after = keys[-1]


def _unlike(memories: Sequence[Memory], copies: Mapping[Key, GraphMemory]) -> list[Key]:
    keys = ((memory, Key(memory.user_id, memory.id)) for memory in memories)
    return [key for memory, key in keys if key in copies and _differs(memory, copies[key])]


def _differs(memory: Memory, copy: GraphMemory) -> bool:
    return memory.version == copy.version and any(differences(memory, copy, Depth.FULL))
