"""The connections of a store: one that writes, a few that read, each on a thread while it is used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from persistence.vector.sqlite.errors import not_open
from persistence.vector.sqlite.session import Session, Synchronous

T = TypeVar("T")


def wall_clock() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1_000


class Sessions:
    """Connections, made by ``open``. ``synchronous``: what an acknowledged write survives."""

    def __init__(
        self,
        path: Path,
        *,
        readers: int,
        busy_timeout: float,
        synchronous: Synchronous,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._path = path
        self._readers = readers
        self._busy_timeout = busy_timeout
        self._synchronous: Synchronous = synchronous
        self.now = clock
        self._threads: ThreadPoolExecutor | None = None
        self._writer: Session | None = None
        self._idle: list[Session] = []
        self._all: list[Session] = []
        self._writing = asyncio.Lock()
        self._reading = asyncio.Semaphore(readers)

    async def open(self, prepare: Callable[[Session], T]) -> T:
        """Connect; ``prepare`` looks at the file, through the connection that will write, before any other is made."""
        self._threads = ThreadPoolExecutor(self._readers + 1, thread_name_prefix="diptych-sqlite")
        try:
            self._writer = await self._on_thread(self._connect)
            prepared = await self._use(self._writer, prepare)
            for _ in range(self._readers):
                self._idle.append(await self._on_thread(self._connect))
        except BaseException:
            await self.close()
            raise
        return prepared

    def _connect(self) -> Session:
        session = Session(self._path, self._busy_timeout)
        self._all.append(session)
        return session

    async def close(self) -> None:
        """Close every connection; those in use when they come back."""
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._writing)
            for _ in range(self._readers):
                await held.enter_async_context(self._reading)
            sessions, self._all, self._idle, self._writer = self._all, [], [], None
            threads, self._threads = self._threads, None
            if threads is not None:
                await _finished(threads, sessions)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Do the work on a thread, in one snapshot."""
        async with self._lent() as session:
            return await self._use(session, lambda own: own.read(work))

    async def write(self, work: Callable[[Session], T], *, durable: bool = True) -> T:
        """Do the work on a thread, with the write lock, and commit it.

        ``durable`` False: what a crash of the machine may undo without harm. Cancelled, it is undone, unless it was
        being committed at that moment.
        """
        synchronous = self._synchronous if durable else "normal"
        async with self._writing:
            if self._writer is None:
                raise not_open()
            return await self._use(self._writer, lambda own: own.write(work, synchronous))

    @asynccontextmanager
    async def still(self) -> AsyncIterator[Sessions]:
        """Lend sessions that all see this moment: one connection beside the others, in one snapshot."""
        session = await self._on_thread(self._connect)
        try:
            await self._use(session, Session.stay)
            yield _Still(self, session)
        finally:
            if session in self._all:
                self._all.remove(session)
                await self._on_thread(session.close)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Session]:
        async with self._reading:
            if not self._idle:
                raise not_open()
            session = self._idle.pop()
            try:
                yield session
            finally:
                self._idle.append(session)

    async def _use(self, session: Session, work: Callable[[Session], T]) -> T:
        """Run the work on a thread; a cancellation stops it, and waits until the thread has let the session go."""
        session.rearm()
        try:
            return await self._on_thread(lambda: work(session), session.stop)
        finally:
            session.rearm()

    async def _on_thread(self, work: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
        if self._threads is None:
            raise not_open()
        return await _to_the_end(self._threads.submit(work), stop)


class _Still(Sessions):
    """Sessions that are one connection in a snapshot, which one call at a time has."""

    def __init__(self, of: Sessions, session: Session) -> None:
        super().__init__(of._path, readers=1, busy_timeout=0, synchronous=of._synchronous, clock=of.now)  # noqa: SLF001
        self._of = of
        self._session = session
        self._turn = asyncio.Lock()

    async def read(self, work: Callable[[Session], T]) -> T:
        async with self._turn:
            return await self._of._use(self._session, lambda own: own.within(work))  # noqa: SLF001


async def _finished(threads: ThreadPoolExecutor, sessions: list[Session]) -> None:
    """Close the connections, and let the threads go."""
    try:
        await _to_the_end(threads.submit(_close, sessions))
    finally:
        threads.shutdown(wait=False)


def _close(sessions: list[Session]) -> None:
    for session in sessions:
        session.close()


async def _to_the_end(future: Future[T], stop: Callable[[], None] = lambda: None) -> T:
    """Wait for a thread. Cancelled, tell it to stop, and wait all the same, however often that is cancelled.

    A thread must not be left alone with a connection. (``asyncio.shield`` takes a turn of the loop more.)
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    try:
        await ended.wait()
    except asyncio.CancelledError:
        stop()
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()
        raise
    return future.result()


class Part:
    """A part of the store: what its methods need."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._dimension: int | None = None

    def _bound(self) -> int:
        """Return how many dimensions the store's embeddings have."""
        if self._dimension is None:
            raise not_open()
        return self._dimension
