"""From what a caller gave to what is written: checked, embedded, extracted, projected."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import anyio.to_thread
import numpy as np
from pydantic_core import PydanticCustomError
from uuid_utils import compat

from persistence.errors import EmbeddingError, InvalidInputError
from persistence.ports.cache import QueryCache
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extraction, Extractor
from persistence.ports.graph import GraphWrite
from persistence.ports.outbox import Key
from persistence.ports.vector import MemoryWrite, WriteMode, WriteReceipt
from persistence.projection import Fragment, bucket, project
from persistence.records import (
    MAX_IDENTITY,
    Entity,
    Memory,
    MemoryDraft,
    Relationship,
    Vector,
    check_embedding,
    fits,
    validated,
)

#: Above this many memories, checking and projecting goes to a thread: it takes more than a few milliseconds.
INLINE = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A memory ready to be written, and the fragment it owns once it is."""

    write: MemoryWrite
    fragment: Fragment

    def graph_write(self, receipt: WriteReceipt) -> GraphWrite:
        """Return what the graph has to be told once truth has the write."""
        version, created_at, _ = receipt.stamp
        return GraphWrite(self.write.user_id, self.write.id, version, self.write.bucket, created_at, self.fragment)

    def memory(self, receipt: WriteReceipt) -> Memory:
        """Return the memory as truth has it now."""
        write = self.write
        version, created_at, updated_at = receipt.stamp
        return Memory.model_construct(
            id=write.id,
            user_id=write.user_id,
            agent_id=write.agent_id,
            run_id=write.run_id,
            content=write.content,
            metadata=dict(write.metadata),
            entities=write.entities,
            relationships=write.relationships,
            extracted=write.extracted,
            embedding=write.embedding,
            version=version,
            digest=write.digest,
            created_at=created_at,
            updated_at=updated_at,
        )


class Drafter:
    """Makes writes of drafts, with the embedder and the extractor of the service."""

    def __init__(
        self, embedder: Embedder, extractor: Extractor, max_content_bytes: int, cache: QueryCache | None = None
    ) -> None:
        self._embedder = embedder
        self._extractor = extractor
        self._max_bytes = max_content_bytes
        self._cache = cache

    async def check(self, items: Sequence[MemoryDraft | Mapping[str, Any]]) -> list[MemoryDraft]:
        """Return the drafts. Raises InvalidInputError, naming the item, before anything is done."""
        if len(items) <= INLINE:
            return self._check(items)
        return await anyio.to_thread.run_sync(self._check, items)

    def _check(self, items: Sequence[MemoryDraft | Mapping[str, Any]]) -> list[MemoryDraft]:
        drafts = []
        for position, item in enumerate(items):
            try:
                draft = item if isinstance(item, MemoryDraft) else validated(MemoryDraft, item)
                self._check_draft(draft)
            except InvalidInputError as error:
                error.add_note(f"in item {position}")
                raise
            drafts.append(draft)
        return drafts

    def _check_draft(self, draft: MemoryDraft) -> None:
        for fault in self.faults(draft.content, draft.embedding):
            raise fault
        for position, entity in enumerate(draft.entities or ()):
            if not fits(draft.user_id, entity):
                allowed = f"with its type and the tenant's user_id it may have {MAX_IDENTITY:,} bytes of UTF-8"
                raise InvalidInputError(f"entities[{position}].name", entity.name, allowed)

    def faults(self, content: str, embedding: Sequence[float] | Vector | None) -> Iterator[InvalidInputError]:
        """Say what of a memory this service cannot take, whatever it is that another one could."""
        if len(content) * 4 > self._max_bytes and (size := _size(content)) > self._max_bytes:
            yield InvalidInputError("content", content, f"it may have {self._max_bytes} bytes, not {size}")
        if embedding is not None and len(embedding) != self._embedder.dimension:
            yield self._misfit("embedding", embedding)

    def _misfit(self, field: str, vector: Sequence[float] | Vector) -> InvalidInputError:
        dimension = self._embedder.dimension
        return InvalidInputError(field, list(vector), f"it must have {dimension} dimensions, not {len(vector)}")

    def check_vector(self, field: str, value: Sequence[float] | Vector) -> Vector:
        """Return a vector that a caller gave as one of this service's. Raises InvalidInputError."""
        try:
            vector = check_embedding(value)
        except PydanticCustomError as error:
            raise InvalidInputError(field, value, error.message()) from error
        if vector.size != self._embedder.dimension:
            raise self._misfit(field, vector)
        return vector

    async def prepare(self, drafts: Sequence[MemoryDraft], mode: WriteMode = WriteMode.REPLACE) -> list[Prepared]:
        """Embed and extract where the caller gave none; project. Raises EmbeddingError, ExtractionError."""
        embeddings = await self._embed(drafts)
        extractions = await self._extract(drafts)
        if len(drafts) <= INLINE:
            return _assemble(drafts, embeddings, extractions, mode)
        return await anyio.to_thread.run_sync(_assemble, drafts, embeddings, extractions, mode)

    def asks(self, draft: MemoryDraft) -> bool:
        """Say whether the embedder or the extractor has to be asked about a draft, and so may have to be waited for."""
        return draft.embedding is None or _to_extract(draft)

    async def embed(self, text: str, user_id: str) -> Vector:
        """Return the vector of a text that a tenant searches for."""
        if self._cache is None:
            return (await self._vectors([text]))[0]
        vector = await self._cache.get(user_id, text)
        if vector is None:
            vector = (await self._vectors([text]))[0]
            await self._cache.put(user_id, text, vector)
        return vector

    async def _embed(self, drafts: Sequence[MemoryDraft]) -> list[Vector]:
        missing = [position for position, draft in enumerate(drafts) if draft.embedding is None]
        found = await self._vectors([drafts[position].content for position in missing]) if missing else []
        made = dict(zip(missing, found, strict=True))
        return [made[i] if draft.embedding is None else draft.embedding for i, draft in enumerate(drafts)]

    async def _vectors(self, texts: list[str]) -> list[Vector]:
        vectors = await self._embedder.embed(texts)
        if vectors.shape != (len(texts), self._embedder.dimension):
            raise EmbeddingError(
                f"The embedder {self._embedder.model} gave an array of shape {vectors.shape}, "
                f"not {(len(texts), self._embedder.dimension)}."
            )
        if not (np.isfinite(vectors).all() and vectors.any(axis=1).all()):
            raise EmbeddingError(f"The embedder {self._embedder.model} gave an embedding that is zero or not finite.")
        return [vector.astype(np.float32, copy=False) for vector in vectors]

    async def _extract(self, drafts: Sequence[MemoryDraft]) -> list[Extraction | None]:
        wanted = [position for position, draft in enumerate(drafts) if _to_extract(draft)]
        found = await self._extractor.extract([drafts[position].content for position in wanted]) if wanted else []
        made = dict(zip(wanted, found, strict=True))
        return [made.get(position) for position in range(len(drafts))]


def _size(text: str) -> int:
    """Return a text's bytes; also of one that holds half a character, which is no text to store."""
    return len(text.encode(errors="surrogatepass"))


def _to_extract(draft: MemoryDraft) -> bool:
    return draft.entities is None and draft.relationships is None


def _assemble(
    drafts: Sequence[MemoryDraft],
    embeddings: Sequence[Vector],
    extractions: Sequence[Extraction | None],
    mode: WriteMode,
) -> list[Prepared]:
    return [
        _prepared(draft, vector, extraction, mode)
        for draft, vector, extraction in zip(drafts, embeddings, extractions, strict=True)
    ]


def _prepared(draft: MemoryDraft, vector: Vector, found: Extraction | None, mode: WriteMode) -> Prepared:
    extraction = found.held(draft.user_id) if found else None
    entities: tuple[Entity, ...] = extraction.entities if extraction else draft.entities or ()
    relationships: tuple[Relationship, ...] = extraction.relationships if extraction else draft.relationships or ()
    write = MemoryWrite(
        user_id=draft.user_id,
        id=draft.id or str(compat.uuid7()),
        agent_id=draft.agent_id,
        run_id=draft.run_id,
        content=draft.content,
        metadata=draft.metadata,
        entities=entities,
        relationships=relationships,
        extracted=extraction is not None,
        embedding=vector,
        digest=0,
        bucket=0,
        created_at=draft.created_at,
        write_id=uuid.uuid4(),
        mode=mode,
    )
    return projected(write)


def projected(write: MemoryWrite) -> Prepared:
    """Give a write the digest and the bucket of its fragment."""
    fragment = project(write)
    return Prepared(replace(write, digest=fragment.digest, bucket=fragment.bucket), fragment)


def rewrite(memory: Memory, expected_version: int, above: int = 0) -> Prepared:
    """Make the write that gives a memory a new version with the content it has. The embedding must have been read."""
    if memory.embedding is None:
        raise ValueError("the memory was read without its embedding")
    return projected(
        MemoryWrite(
            user_id=memory.user_id,
            id=memory.id,
            agent_id=memory.agent_id,
            run_id=memory.run_id,
            content=memory.content,
            metadata=memory.metadata,
            entities=memory.entities,
            relationships=memory.relationships,
            extracted=memory.extracted,
            embedding=check_embedding(memory.embedding),
            digest=0,
            bucket=0,
            created_at=memory.created_at,
            write_id=uuid.uuid4(),
            mode=WriteMode.REPLACE,
            expected_version=expected_version,
            above=above,
        )
    )


def deletion(key: Key, version: int) -> GraphWrite:
    """Return what the graph has to be told of a deleted memory."""
    return GraphWrite(key.user_id, key.id, version, bucket(*key), None, None)


def derived_id(user_id: str, idempotency_key: str) -> str:
    """Return the id that a ``store`` with this idempotency key has, a UUID (version 8, RFC 9562) of both texts."""
    digest = blake2b(f"{len(user_id)}:{user_id}{idempotency_key}".encode(), digest_size=16).digest()
    number = int.from_bytes(digest)
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))
