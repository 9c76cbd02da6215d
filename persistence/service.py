"""AsyncPersistenceService: memories in a vector store, which is the truth, and in a graph that follows it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from persistence import factory
from persistence.assembly import Parts, assemble
from persistence.bulk import OnProgress
from persistence.drafting import Prepared, derived_id
from persistence.errors import (
    DeadlineExceededError,
    GraphStoreError,
    InvalidInputError,
    MemoryNotFoundError,
    ServiceClosedError,
    VersionConflictError,
)
from persistence.filters import make_filter
from persistence.gates import GraphRole
from persistence.health import check_health, gather_stats
from persistence.observing import observed
from persistence.patching import patched
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extractor
from persistence.ports.graph import GraphMemory, GraphStore
from persistence.ports.observer import UNOBSERVED, Observer
from persistence.ports.outbox import Key, OutboxEntry
from persistence.ports.vector import MemoryDelete, VectorStore, WriteMode
from persistence.projection import bucket
from persistence.records import Memory, MemoryDraft, MemoryPatch, Record, Vector, validated
from persistence.relay import RelayReport
from persistence.results import Count, DeleteAllResult, HealthCheck, Page, PersistenceResult, SearchResult, Stats
from persistence.retry import Deadline
from persistence.settings import PersistenceConfig
from persistence.text import Name, Text

T = TypeVar("T")

MAX_LIMIT = 1_000
MAX_DEPTH = 5
MAX_TIMEOUT = 86_400


class _Key(Record):
    user_id: Name
    id: Name


class _Tenant(Record):
    user_id: Name


class _After(Record):
    user_id: Name
    after: Text | None


class _Idempotent(Record):
    user_id: Name
    idempotency_key: Name


class _Query(Record):
    query: Text


class AsyncPersistenceService:
    """Stores, finds and deletes memories so that vector store and graph store behave as one.

        async with AsyncPersistenceService.connect(vector="postgresql://…", graph="neo4j://…") as memories:
            result = await memories.store("Ada works at Babbage & Co.", user_id="u1")

    Every call on one memory names its tenant, ``user_id``; a memory of another tenant is one that is not there. Every
    call takes ``timeout``, in seconds, for all it does (default: the setting ``write_timeout``). All raise
    InvalidInputError for bad input before anything is written, VectorStoreError where truth fails; an error of the
    graph in a write is no error of the call: the result's outcome says ``pending``, and the relay goes on with it.
    """

    def __init__(
        self,
        vector: str | VectorStore | None = None,
        graph: str | GraphStore | None = None,
        *,
        embedder: Embedder | None = None,
        extractor: Extractor | None = None,
        config: PersistenceConfig | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._given = factory.Given(vector, graph, embedder, extractor, config)
        self._told = observer
        self._open: Parts | None = None

    @classmethod
    def connect(
        cls,
        vector: str | VectorStore | None = None,
        graph: str | GraphStore | None = None,
        *,
        embedder: Embedder | None = None,
        extractor: Extractor | None = None,
        config: PersistenceConfig | None = None,
        observer: Observer | None = None,
    ) -> Self:
        """Name the stores, by URL or as adapters; ``async with`` opens them.

        What is not given comes from the settings (``DIPTYCH_VECTOR_URL``, ``DIPTYCH_GRAPH_URL`` …), then from names
        such as ``DATABASE_URL`` and ``NEO4J_URI``, else it is the embedded default. As URL,
        ``auto`` takes what is named there, else what is kept on this machine already, else what is installed.
        ``observer`` is told of the service's work, for metrics, traces and logs (``persistence.ports.observer``).
        """
        return cls(vector, graph, embedder=embedder, extractor=extractor, config=config, observer=observer)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self, *, adopt_graph: bool = False) -> None:
        """Connect to both stores and start the relay. ``adopt_graph``: accept a new graph for this truth.

        Raises ConfigurationError, VectorStoreError, GraphIdentityError; GraphUnavailableError only where the setting
        ``graph_required`` says so.
        """
        if self._open is None:
            config, adapters = await factory.build(self._given, os.environ)
            self._open = await assemble(adapters, config, adopt_graph=adopt_graph, observer=self._told)

    async def close(self) -> None:
        """Settle what is in step, stop the relay, close the stores. Safe to call twice."""
        parts, self._open = self._open, None
        if parts is not None:
            await parts.close()

    @property
    def parts(self) -> Parts:
        """The open service's parts, for what is built on it (`sync`). Raises ServiceClosedError."""
        return self._parts

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise ServiceClosedError
        return self._open

    @property
    def _observer(self) -> Observer:
        return UNOBSERVED if self._open is None else self._open.observer

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(_seconds(timeout, self._parts.config.write_timeout))

    # --- writes -----------------------------------------------------------------------------------------------

    @observed
    async def store(
        self,
        content: str,
        *,
        user_id: str,
        id: str | None = None,  # noqa: A002  # the field's name, as in mem0
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        entities: Iterable[Any] | None = None,
        relationships: Iterable[Any] | None = None,
        embedding: Sequence[float] | Vector | None = None,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> PersistenceResult:
        """Store one memory, or replace the one that has this id.

        ``idempotency_key`` stands in for an id and makes the call safe to repeat: what the first one stored stays.
        Without ``embedding``, or ``entities`` and ``relationships``, the embedder and the extractor make them. Raises
        OutcomeUnknownError where truth may or may not have it.
        """
        started, deadline = time.perf_counter(), self._deadline(timeout)
        given: dict[str, Any] = {
            "content": content,
            "user_id": user_id,
            "id": id,
            "agent_id": agent_id,
            "run_id": run_id,
            "metadata": metadata if metadata is not None else {},
            "entities": _listed(entities),
            "relationships": _listed(relationships),
            "embedding": embedding,
            "created_at": created_at,
        }
        mode = WriteMode.REPLACE
        if idempotency_key is not None:
            given["id"], mode = _id_for(id, user_id, idempotency_key), WriteMode.KEEP_ANY
        (draft,) = await self._parts.drafter.check([given])
        return _timed(await self._store(draft, mode, deadline), started)

    async def _store(self, draft: MemoryDraft, mode: WriteMode, deadline: Deadline) -> PersistenceResult:
        parts = self._parts
        self._require_graph()
        prepared = await self._prepare(draft, mode, deadline)
        return await parts.writer.store(prepared, deadline)

    async def _prepare(self, draft: MemoryDraft, mode: WriteMode, deadline: Deadline) -> Prepared:
        drafter = self._parts.drafter
        call = drafter.prepare([draft], mode)
        (prepared,) = await (_in_time(self._parts, call, deadline) if drafter.asks(draft) else call)
        return prepared

    def _require_graph(self) -> None:
        if self._parts.config.graph_required and self._parts.graph.role is GraphRole.REGISTERED:
            self._parts.graph.breaker.check()

    @observed
    async def store_many(
        self,
        items: Iterable[MemoryDraft | Mapping[str, Any]],
        *,
        mode: WriteMode = WriteMode.REPLACE,
        progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> list[PersistenceResult]:
        """Store many memories, a transaction a batch; an outcome for each, in the order given.

        All are checked before the first is written. Of items with one identity the last wins; the others are
        ``superseded``. ``timeout`` is for each batch (default: ``batch_timeout``). A cancelled call raises
        BulkCancelledError, a truth that fails half-way BulkInterruptedError: both hold what was acknowledged.
        """
        parts = self._parts
        seconds = _seconds(timeout, parts.config.batch_timeout)
        self._require_graph()
        drafts = await parts.drafter.check(list(items))
        return await parts.bulk.store(drafts, mode, seconds, progress)

    @observed
    async def update(
        self,
        /,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        expected_version: int | None = None,
        timeout: float | None = None,
        **changes: Any,
    ) -> PersistenceResult:
        """Change the fields given (those of MemoryPatch); each replaces the whole field.

        New content is embedded anew, and extracted anew where its entities were extracted before. Raises
        MemoryNotFoundError; VersionConflictError where ``expected_version`` is not what is there. Without it, the
        patch is put on whatever is there, also when someone else writes at the same moment.
        """
        started, deadline = time.perf_counter(), self._deadline(timeout)
        key, patch = _key(user_id, id), validated(MemoryPatch, changes)
        self._require_graph()
        while True:
            try:
                result = await self._patch(key, patch, expected_version, deadline)
            except VersionConflictError:
                if expected_version is not None:
                    raise
                if not deadline.remaining():
                    raise DeadlineExceededError from None
            else:
                return _timed(result, started)

    async def _patch(
        self, key: Key, patch: MemoryPatch, expected_version: int | None, deadline: Deadline
    ) -> PersistenceResult:
        parts = self._parts
        memory = await parts.reader.get(key, deadline, embedding=True)
        if memory is None:
            raise MemoryNotFoundError if expected_version is None else VersionConflictError(expected_version, None)
        if expected_version is not None and memory.version != expected_version:
            raise VersionConflictError(expected_version, memory.version)
        (draft,) = await parts.drafter.check([patched(memory, patch)])
        prepared = await self._prepare(draft, WriteMode.UPDATE, deadline)
        extracted = prepared.write.extracted or (memory.extracted and prepared.write.entities == memory.entities)
        write = replace(prepared.write, expected_version=memory.version, extracted=extracted)
        return await parts.writer.store(replace(prepared, write=write), deadline)

    @observed
    async def delete(
        self,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> PersistenceResult:
        """Delete one memory. Deleting what is not there changes nothing: ``changed`` is False then."""
        started, deadline = time.perf_counter(), self._deadline(timeout)
        key = _key(user_id, id)
        self._require_graph()
        delete = MemoryDelete(*key, uuid.uuid4(), bucket(*key), expected_version)
        return _timed(await self._parts.writer.delete(delete, deadline), started)

    @observed
    async def delete_all(self, *, user_id: str, timeout: float | None = None) -> DeleteAllResult:
        """Delete every memory of a tenant, in pages; another call goes on where one was stopped."""
        validated(_Tenant, {"user_id": user_id})
        return await self._parts.bulk.delete_all(user_id, _seconds(timeout, self._parts.config.batch_timeout))

    # --- reads ------------------------------------------------------------------------------------------------

    @observed
    async def get(
        self,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        timeout: float | None = None,
    ) -> Memory | None:
        """Return one memory with its embedding, None where this tenant has none of that id."""
        return await self._parts.reader.get(_key(user_id, id), self._deadline(timeout), embedding=True)

    @observed
    async def get_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
        timeout: float | None = None,
    ) -> Page:
        """Return a page of a tenant's memories in the order of their ids; ``page.next`` goes into ``after``."""
        validated(_After, {"user_id": user_id, "after": after})
        where = make_filter(agent_id, run_id, filters)
        _check_limit(limit)
        return await self._parts.reader.page(user_id, after, limit, where, self._deadline(timeout))

    @observed
    async def search(
        self,
        query: str | Sequence[float] | Vector,
        *,
        user_id: str,
        limit: int = 10,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        expand: int = 0,
        timeout: float | None = None,
    ) -> SearchResult:
        """Return the memories nearest in meaning to a text or a vector, best first.

        ``filters`` is described in ``persistence.filters``. With ``expand``, memories that the graph reaches from the
        hits in so many steps follow them; when the graph is away the hits come alone, and ``degraded`` says why.
        """
        validated(_Tenant, {"user_id": user_id})
        where = make_filter(agent_id, run_id, filters)
        _check_limit(limit)
        if expand not in range(MAX_DEPTH + 1):
            raise InvalidInputError("expand", expand, f"it must be 0 to {MAX_DEPTH} steps")
        deadline = self._deadline(timeout)
        vector = await self._vector(query, user_id, deadline)
        return await self._parts.reader.search(user_id, vector, limit, where, expand, deadline)

    async def _vector(self, query: str | Sequence[float] | Vector, user_id: str, deadline: Deadline) -> Vector:
        if isinstance(query, str):
            text = validated(_Query, {"query": query}).query
            if not text.strip():
                raise InvalidInputError("query", query, "it must not be blank")
            return await _in_time(self._parts, self._parts.drafter.embed(text, user_id), deadline)
        return self._parts.drafter.check_vector("query", query)

    @observed
    async def related(
        self,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        depth: int = 1,
        limit: int = 10,
        timeout: float | None = None,
    ) -> SearchResult:
        """Return memories that share entities with one (depth 1), or are reached over so many relationships more.

        Raises MemoryNotFoundError, GraphStoreError.
        """
        _check_limit(limit)
        if depth not in range(1, MAX_DEPTH + 1):
            raise InvalidInputError("depth", depth, f"it must be 1 to {MAX_DEPTH}")
        return await self._parts.reader.related_to(_key(user_id, id), depth, limit, self._deadline(timeout))

    @observed
    async def neighbourhood(
        self,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        timeout: float | None = None,
    ) -> GraphMemory | None:
        """Return what the graph holds of a memory: its entities and relationships. Raises GraphStoreError."""
        return await self._parts.reader.neighbourhood(_key(user_id, id), self._deadline(timeout))

    async def wait_until_in_step(
        self,
        id: str,  # noqa: A002  # the field's name, as in mem0
        *,
        user_id: str,
        timeout: float | None = None,
    ) -> None:
        """Return once the graph has what truth has of a memory now.

        Raises DeadlineExceededError; GraphStoreError where there is no graph, or the entry is dead.
        """
        deadline, parts, key = self._deadline(timeout), self._parts, _key(user_id, id)
        if parts.graph.role is GraphRole.LOCAL:
            await parts.follower.follow(user_id, deadline)
            return
        _ = parts.graph.store
        await parts.settler.flush()
        pause = 0.005
        while entry := (await parts.truth.read(lambda: parts.truth.store.pending([key]), deadline)).get(key):
            if entry.dead:
                raise GraphStoreError(f"The memory's outbox entry is dead: {entry.reason}", hint="diptych dead-letters")
            if deadline.remaining() < pause:
                raise DeadlineExceededError("The graph did not come in step within the call's deadline.")
            parts.relay.wake()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.1)

    @observed
    async def count(self, *, user_id: str, timeout: float | None = None) -> Count:
        """Return the number of a tenant's memories: exact up to 100,000, beyond that estimated and marked so."""
        validated(_Tenant, {"user_id": user_id})
        truth = self._parts.truth
        return await truth.read(lambda: truth.store.count(user_id), self._deadline(timeout))

    # --- the operator's view ----------------------------------------------------------------------------------

    async def get_health(self, *, timeout: float | None = None) -> HealthCheck:
        """Probe both stores and look at the outbox. Never raises for a store that is down: it says so."""
        return await check_health(self._parts, self._deadline(timeout))

    async def get_stats(self, *, timeout: float | None = None) -> Stats:
        """Count both sides and the outbox; what could not be obtained is null."""
        return await gather_stats(self._parts, self._deadline(timeout))

    async def drain(self, *, progress: Callable[[RelayReport], None] | None = None) -> RelayReport:
        """Work the outbox off until it is empty, only dead entries are left, or the graph is out of reach.

        A graph in this process's memory has no say over the outbox: then nothing is done but to count.
        """
        _ = self._parts.graph.store
        await self._parts.settler.flush()
        if self._parts.graph.role is GraphRole.LOCAL:
            return await self._parts.relay.report()
        return await self._parts.relay.drain(progress)

    async def dead_letters(
        self, *, user_id: str | None = None, after: Key | None = None, limit: int = 100, timeout: float | None = None
    ) -> list[OutboxEntry]:
        """List entries that the relay gave up, in the order of (user_id, id)."""
        _check_limit(limit)
        truth = self._parts.truth
        return await truth.read(
            lambda: truth.store.outbox_page(dead=True, after=after, limit=limit, user_id=user_id),
            self._deadline(timeout),
        )

    async def retry_dead(self, keys: Sequence[Key] | None, *, timeout: float | None = None) -> int:
        """Make dead entries (None: all) due again; return how many."""
        parts = self._parts
        revived = await parts.truth.change(lambda: parts.truth.store.revive(keys), self._deadline(timeout))
        parts.relay.wake()
        return revived

    async def discard_dead(self, key: Key, *, timeout: float | None = None) -> bool:
        """Move a dead entry to the open inconsistencies; False where there is none."""
        deadline, truth = self._deadline(timeout), self._parts.truth
        entry = (await truth.read(lambda: truth.store.pending([key]), deadline)).get(key)
        if entry is None or not entry.dead:
            return False
        return await truth.change(lambda: truth.store.discard(key, entry.entry_id), deadline)

    @asynccontextmanager
    async def bulk_load(self) -> AsyncIterator[bool]:
        """Put off the vector index while an empty store is loaded, and build it at the end; yields whether it was.

        Where the load fails, the index is left for ``diptych schema upgrade``; searches work without it, slowly.
        """
        truth = self._parts.truth
        store = truth.store
        put_off = await truth.change(store.begin_load, Deadline(self._parts.config.batch_timeout))
        yield put_off
        if put_off:
            await store.end_load()


def _key(user_id: str, memory_id: str) -> Key:
    checked = validated(_Key, {"user_id": user_id, "id": memory_id})
    return Key(checked.user_id, checked.id)


def _id_for(given: str | None, user_id: str, idempotency_key: str) -> str:
    if given is not None:
        raise InvalidInputError("idempotency_key", idempotency_key, "it stands in for an id; give one of them")
    checked = validated(_Idempotent, {"user_id": user_id, "idempotency_key": idempotency_key})
    return derived_id(checked.user_id, checked.idempotency_key)


def _listed(items: Iterable[Any] | None) -> Any:
    """Return what was given as a tuple; what is no list of things is left for the check to refuse."""
    return tuple(items) if isinstance(items, Iterable) and not isinstance(items, str | Mapping) else items


def _seconds(timeout: float | None, default: float) -> float:
    if timeout is None:
        return default
    if not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidInputError("timeout", timeout, f"it must be more than 0 and at most {MAX_TIMEOUT} seconds")
    return timeout


def _check_limit(limit: int) -> None:
    if limit not in range(1, MAX_LIMIT + 1):
        raise InvalidInputError("limit", limit, f"it must be 1 to {MAX_LIMIT}")


async def _in_time(parts: Parts, call: Coroutine[Any, Any, T], deadline: Deadline) -> T:
    """Await the embedder or the extractor within the call's deadline; nothing was written yet."""
    try:
        return await parts.calls.run(call, deadline.remaining())
    except TimeoutError as error:
        raise DeadlineExceededError("Embedding and extracting took longer than the call's deadline.") from error


def _timed(result: PersistenceResult, started: float) -> PersistenceResult:
    return replace(result, duration_ms=(time.perf_counter() - started) * 1000)
