"""Puts the parts of an open service together, and takes them apart in the right order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio

from persistence.bounded import Calls
from persistence.breaker import Breaker
from persistence.bulk import Bulk
from persistence.drafting import Drafter
from persistence.errors import GraphIdentityError, GraphUnavailableError
from persistence.follower import Follower
from persistence.gates import GraphGate, GraphRole, TruthGate
from persistence.log import get_logger
from persistence.ports.cache import QueryCache
from persistence.ports.capabilities import OF_GRAPHS, Capability, untold
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extractor
from persistence.ports.graph import GraphStore
from persistence.ports.observer import UNOBSERVED, BreakerChanged, Observer, Part, Retried
from persistence.ports.vector import StoreInfo, VectorStore
from persistence.reading import Reader
from persistence.relay import Relay
from persistence.retry import Retry
from persistence.settings import PersistenceConfig
from persistence.settling import Settler
from persistence.watching import guarded, watched
from persistence.writing import Writer

log = get_logger("service")

#: Seconds that closing gives to what is still under way.
CLOSE_TIME = 5.0
#: Seconds for listing every memory of a truth in its outbox, when it gets a graph it did not have.
REGISTER_TIME = 3_600.0


@dataclass(frozen=True, slots=True)
class Adapters:
    """The four things that a service stands on. ``graph`` None: there is none. ``cache``: of search texts, likewise."""

    vector: VectorStore
    graph: GraphStore | None
    embedder: Embedder
    extractor: Extractor
    cache: QueryCache | None = None

    async def close(self) -> None:
        """Close all of them, whatever one of them says."""
        async with contextlib.AsyncExitStack() as stack:
            for part in (self.vector, self.graph, self.embedder, self.extractor, self.cache):
                if part is not None:
                    stack.push_async_callback(part.close)


@dataclass(slots=True)
class Parts:
    """An open service's parts."""

    config: PersistenceConfig
    adapters: Adapters
    calls: Calls
    truth: TruthGate
    graph: GraphGate
    follower: Follower
    settler: Settler
    drafter: Drafter
    writer: Writer
    reader: Reader
    bulk: Bulk
    relay: Relay
    observer: Observer = UNOBSERVED
    background: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop the relay, settle what is in step, see calls to their end, close the adapters."""
        try:
            if self.background is not None:
                self.background.cancel()
                await asyncio.wait({self.background})
            await self.calls.run(self.settler.flush(), CLOSE_TIME)
        except TimeoutError:
            log.warning("Entries in step were left to the relay at closing.", action="close")
        finally:
            await self.calls.close(CLOSE_TIME)
            await self.adapters.close()


async def assemble(
    adapters: Adapters,
    config: PersistenceConfig,
    *,
    adopt_graph: bool = False,
    former_truth: UUID | None = None,
    observer: Observer | None = None,
) -> Parts:
    """Open the adapters and put a service on them. Closes them again where that fails.

    ``former_truth``: a graph that belongs to this one is taken over; to be given with ``adopt_graph``.
    """
    told = guarded(observer)
    adapters = _told(adapters, told)
    anyio.get_cancelled_exc_class()  # loads what threads need: where no file can be opened any more, it could not be
    try:
        info = await adapters.vector.open(model=adapters.embedder.model, dimension=adapters.embedder.dimension)
        parts = _parts(adapters, config, told, _Readiness(adapters, adopt=adopt_graph, former=former_truth))
        await _open_graph(parts, config)
        _tell(adapters)
        parts.background = _background(parts, config, info)
    except BaseException:
        await adapters.close()
        raise
    return parts


def _told(adapters: Adapters, observer: Observer) -> Adapters:
    return Adapters(
        watched(adapters.vector, Part.TRUTH, observer),
        watched(adapters.graph, Part.GRAPH, observer),
        watched(adapters.embedder, Part.EMBEDDER, observer),
        watched(adapters.extractor, Part.EXTRACTOR, observer),
        adapters.cache,
    )


def _parts(adapters: Adapters, config: PersistenceConfig, observer: Observer, ready: _Readiness) -> Parts:
    calls = Calls()
    truth = TruthGate(adapters.vector, calls, _retry(config, Part.TRUTH, observer))
    breaker = Breaker(
        config.breaker_failures, config.breaker_probe, tell=lambda state: observer.noted(BreakerChanged(state.value))
    )
    retry = _retry(config, Part.GRAPH, observer)
    graph = GraphGate(adapters.graph, _role(adapters.graph), calls, retry, breaker, ready)
    follower = Follower(truth, graph, max_age=config.tombstone_age / 2)
    settler = Settler(
        adapters.vector, calls, batch=config.settle_batch, delay=config.settle_delay, timeout=config.write_timeout
    )
    drafter = Drafter(adapters.embedder, adapters.extractor, config.max_content_bytes, adapters.cache)
    relay = Relay(truth, graph, config, observer)
    rollback = config.rollback_on_partial_failure
    writer = Writer(truth, graph, follower, settler, calls, rollback=rollback, wake=relay.wake)
    bulk = Bulk(truth, graph, follower, settler, drafter, writer, config)
    reader = Reader(truth, graph, follower)
    return Parts(
        config, adapters, calls, truth, graph, follower, settler, drafter, writer, reader, bulk, relay, observer
    )


def _retry(config: PersistenceConfig, part: Part, observer: Observer) -> Retry:
    def told(error: BaseException) -> None:
        observer.noted(Retried(part, type(error).__name__))

    return Retry(config.retry_attempts, config.retry_delay, before_sleep=told)


def _role(graph: GraphStore | None) -> GraphRole:
    if graph is None:
        return GraphRole.DISABLED
    return GraphRole.REGISTERED if Capability.DURABLE in graph.capabilities else GraphRole.LOCAL


class _Readiness:
    """Opens the graph and sees that it is the one of this truth: at the start, or when it comes back."""

    def __init__(self, adapters: Adapters, *, adopt: bool, former: UUID | None) -> None:
        self._adapters = adapters
        self._adopt = adopt
        self._former = former

    async def __call__(self) -> None:
        graph, vector = self._adapters.graph, self._adapters.vector
        if graph is None:
            return
        await graph.open()
        if Capability.DURABLE not in graph.capabilities:
            return
        if self._former is not None:
            await graph.release(self._former)
        info = await vector.info()
        identity = await graph.identify(info.store_id, info.graph, adopt=self._adopt)
        if info.graph != identity and await vector.register_graph(identity, former=info.graph) != identity:
            raise GraphIdentityError("Another graph was registered for this truth at the same moment.")


async def _open_graph(parts: Parts, config: PersistenceConfig) -> None:
    """Start without a graph that is away, since writes are kept for the relay; not with another truth's graph."""
    if parts.graph.role is GraphRole.DISABLED:
        return
    try:
        await parts.graph.make_ready(REGISTER_TIME)
    except GraphUnavailableError as error:
        if config.graph_required:
            raise
        log.warning("The graph store is away; writes are kept for the relay.", action="open", reason=error.message)


def _tell(adapters: Adapters) -> None:
    """Say which guarantees cannot be had with these stores, now and not at the first loss."""
    _tell_of("vector store", adapters.vector, frozenset(Capability))
    if adapters.graph is not None:
        _tell_of("graph store", adapters.graph, OF_GRAPHS)


def _tell_of(side: str, store: VectorStore | GraphStore, asked: frozenset[Capability]) -> None:
    for one in untold(store.capabilities, asked):
        sentence = f"The {side} ({store.kind}) lacks {one}: {one.without}"
        log.warning(sentence, action="open", store=store.kind, capability=one.value)


def _background(parts: Parts, config: PersistenceConfig, info: StoreInfo) -> asyncio.Task[None] | None:
    if not config.enable_relay:
        return None
    if parts.graph.role is GraphRole.REGISTERED:
        return asyncio.create_task(_watched(parts.relay.run), name="diptych-relay")
    if info.graph is None:
        return asyncio.create_task(_watched(parts.relay.run_collection), name="diptych-collection")
    return None


async def _watched(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Say so where background work ends by a defect; nobody awaits it until the service is closed."""
    try:
        await work()
    except Exception:
        log.exception("Background work ended by a defect.", action="background")
        raise
