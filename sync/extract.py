"""Entities and relationships anew from the text: written to truth as a new version, so the graph stays a projection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import anyio.to_thread

from persistence.drafting import Prepared, rewrite
from persistence.errors import VersionConflictError
from persistence.ports.extractor import Extraction as Extracted
from persistence.ports.outbox import Key
from persistence.records import Memory
from persistence.retry import Deadline
from sync.pair import Pair

#: Memories written at once, each on its own: somebody else's newer version of one is no matter of the others.
CONCURRENT = 8


class Extraction:
    """Runs the service's extractor over memories whose entities were extracted before; what was given stays."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._parts = pair.parts

    async def renewed(self, memories: Sequence[Memory]) -> tuple[list[Memory], int]:
        """Return the memories that are still to be projected, and how many were written anew instead.

        Raises ExtractionError.
        """
        old = [memory for memory in memories if memory.extracted]
        if not old:
            return list(memories), 0
        extractions = await self._parts.adapters.extractor.extract([memory.content for memory in old])
        changed = await anyio.to_thread.run_sync(_changed, old, extractions)
        await self._write(changed)
        done = {prepared.write.key for prepared in changed}
        return [memory for memory in memories if Key(memory.user_id, memory.id) not in done], len(changed)

    async def _write(self, changed: Sequence[Prepared]) -> None:
        limit = asyncio.Semaphore(CONCURRENT)

        async def one(prepared: Prepared) -> None:
            async with limit:
                # Where somebody has written it meanwhile, that is extracted as they wished.
                with contextlib.suppress(VersionConflictError):
                    await self._parts.writer.store(prepared, Deadline(self._parts.config.batch_timeout))

        for ended in await asyncio.gather(*map(one, changed), return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended


def _changed(memories: Sequence[Memory], extractions: Sequence[Extracted]) -> list[Prepared]:
    """Return the writes of those whose text says something else to the extractor now."""
    writes = ((memory, _anew(memory, extraction)) for memory, extraction in zip(memories, extractions, strict=True))
    return [prepared for memory, prepared in writes if prepared.write.digest != memory.digest]


def _anew(memory: Memory, extraction: Extracted) -> Prepared:
    held = extraction.held(memory.user_id)
    said = {"entities": held.entities, "relationships": held.relationships}
    return rewrite(memory.model_copy(update=said), memory.version)
