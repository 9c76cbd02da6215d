"""PersistenceService: the same calls for code without an event loop. Every call runs in a loop of the service's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from persistence.errors import ServiceClosedError
from persistence.ports.embedder import Embedder
from persistence.ports.extractor import Extractor
from persistence.ports.graph import GraphStore
from persistence.ports.observer import Observer
from persistence.ports.vector import VectorStore
from persistence.service import AsyncPersistenceService
from persistence.settings import PersistenceConfig

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncPersistenceService, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[PersistenceService, P], T]:
    """Make the blocking twin of a method: same name, same parameters, same docstring."""

    @functools.wraps(method)
    def call(self: PersistenceService, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(functools.partial(method, self._service, *args, **kwargs))

    return call


class PersistenceService:
    """Stores, finds and deletes memories so that vector store and graph store behave as one; calls block.

        with PersistenceService.connect(vector="postgresql://…", graph="neo4j://…") as memories:
            result = memories.store("Ada works at Babbage & Co.", user_id="u1")

    Safe to share between threads. The methods are those of AsyncPersistenceService, where they are described.
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
        self._service = AsyncPersistenceService(
            vector, graph, embedder=embedder, extractor=extractor, config=config, observer=observer
        )
        self._loop: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None

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
        """Name the stores; ``with`` opens them. See AsyncPersistenceService.connect."""
        return cls(vector, graph, embedder=embedder, extractor=extractor, config=config, observer=observer)

    def open(self, *, adopt_graph: bool = False) -> None:
        """Start the loop and connect to both stores. See AsyncPersistenceService.open."""
        if self._portal is not None:
            return
        self._loop = start_blocking_portal("asyncio", name="diptych")
        self._portal = self._loop.__enter__()
        try:
            self._call(functools.partial(self._service.open, adopt_graph=adopt_graph))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close both stores and stop the loop. Safe to call twice."""
        if self._loop is None:
            return
        try:
            self._call(self._service.close)
        finally:
            loop, self._loop, self._portal = self._loop, None, None
            loop.__exit__(None, None, None)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a call in the loop; an interrupt of this thread cancels it there."""
        if self._portal is None:
            raise ServiceClosedError(hint="use it inside `with PersistenceService.connect(…) as memories:`")
        future = self._portal.start_task_soon(call)
        try:
            answer: T = future.result()
        except BaseException:
            future.cancel()
            raise
        return answer

    def run(self, call: Callable[[AsyncPersistenceService], Coroutine[Any, Any, T]]) -> T:
        """Await ``call(service)`` in this service's loop, for what is built on it (`sync`)."""
        return self._call(functools.partial(call, self._service))

    store = _blocking(AsyncPersistenceService.store)
    store_many = _blocking(AsyncPersistenceService.store_many)
    update = _blocking(AsyncPersistenceService.update)
    delete = _blocking(AsyncPersistenceService.delete)
    delete_all = _blocking(AsyncPersistenceService.delete_all)
    get = _blocking(AsyncPersistenceService.get)
    get_all = _blocking(AsyncPersistenceService.get_all)
    search = _blocking(AsyncPersistenceService.search)
    related = _blocking(AsyncPersistenceService.related)
    neighbourhood = _blocking(AsyncPersistenceService.neighbourhood)
    wait_until_in_step = _blocking(AsyncPersistenceService.wait_until_in_step)
    count = _blocking(AsyncPersistenceService.count)
    get_health = _blocking(AsyncPersistenceService.get_health)
    get_stats = _blocking(AsyncPersistenceService.get_stats)
    drain = _blocking(AsyncPersistenceService.drain)
    dead_letters = _blocking(AsyncPersistenceService.dead_letters)
    retry_dead = _blocking(AsyncPersistenceService.retry_dead)
    discard_dead = _blocking(AsyncPersistenceService.discard_dead)

    @contextmanager
    def bulk_load(self) -> Iterator[bool]:
        """Put off the vector index while an empty store is loaded. See AsyncPersistenceService.bulk_load."""
        if self._portal is None:
            raise ServiceClosedError
        with self._portal.wrap_async_context_manager(self._service.bulk_load()) as put_off:
            yield put_off
