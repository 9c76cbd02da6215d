"""The graph in memory, kept in files: every change is in the log before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

from persistence.errors import GraphUnavailableError
from persistence.files import Faults, FilePolicy, Keeper, Step
from persistence.graph.identity import Stamp
from persistence.graph.memory.encoding import FORMAT, Name, chunks, from_bytes, to_bytes
from persistence.graph.memory.guarded import nothing_against
from persistence.graph.memory.store import MemoryGraph
from persistence.graph.memory.tenant import Ends, Note, Tenant
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.vector import GraphIdentity

T = TypeVar("T")


class FileGraph(MemoryGraph):
    """A ``GraphStore`` in the folder ``path``, which one process at a time has. It outlives its process."""

    def __init__(self, path: Path, policy: FilePolicy | None = None, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock=clock)
        self._path = path
        # A full disk is an outage: what could not be written is owed, and nothing is wrong with it.
        faults = Faults(GraphUnavailableError, GraphUnavailableError, GraphUnavailableError)
        self._keeper = Keeper(path, _Content(self), policy or FilePolicy(), faults)
        self._token: object | None = None

    @property
    def kind(self) -> str:
        return "file"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return OF_GRAPHS - {Capability.SHARED}

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found damaged when the files were opened, and what was done about it, a sentence each."""
        return self._keeper.notices

    async def open(self) -> None:
        if self._token is None:
            token = await self._keeper.open()
            try:
                await self._keeper.commit(self._name_database)
            except BaseException:
                await self._keeper.close(token)
                raise
            self._token = token

    async def close(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            await self._keeper.close(token)

    async def ping(self) -> str:
        return f"in {self._path}"

    async def persist(self) -> None:
        """Write a snapshot of the files now. Raises OSError: the former one stays."""
        await self._keeper.persist()

    async def identify(self, store_id: UUID, known: GraphIdentity | None, *, adopt: bool = False) -> GraphIdentity:
        return await self._keeper.commit(lambda: self._taking(*self._stamped(store_id, known, adopt=adopt)))

    async def release(self, truth_id: UUID) -> None:
        await self._keeper.commit(lambda: self._taking(self._released(truth_id), None))

    def _taking(self, stamp: Stamp, answer: T) -> Step[T]:
        payload = b"" if stamp == self._stamp else to_bytes(stamp=stamp)
        return Step(payload, lambda: self._take(stamp, answer))

    def _take(self, stamp: Stamp, answer: T) -> T:
        self._stamp = stamp
        return answer

    def _name_database(self) -> Step[None]:
        """Give new files the name by which they are known again."""
        named = bool(self._stamp.database_id)
        stamp = self._stamp if named else Stamp(f"file-{uuid4()}")
        return Step(b"" if named else to_bytes(stamp=stamp), lambda: setattr(self, "_stamp", stamp))

    async def _run(self, work: Callable[[], T], size: int | None = None) -> T:
        if self._token is None:
            raise GraphUnavailableError("The graph store is not open.", hint="open it first")
        return await super()._run(work, size)

    async def _alter(
        self,
        work: Callable[[], T],
        notes: Callable[[], Sequence[Note]],
        size: int | None = None,  # noqa: ARG002  # always in the keeper's thread: the disk is waited for there
        *,
        check: Callable[[], None] = nothing_against,
    ) -> T:
        def decide() -> Step[T]:
            with self._lock:
                check()
                return Step(to_bytes(notes()), lambda: self._locked(work))

        return await self._keeper.commit(decide)

    def empty(self) -> None:
        """Forget everything, before the files are read."""
        with self._lock:
            self._tenants, self._stamp = {}, Stamp("")

    def put(self, payload: bytes) -> None:
        """Do what a payload of the files says."""
        notes, names, stamp = from_bytes(payload)
        with self._lock:
            self._stamp = stamp or self._stamp
            for note in notes:
                self._place(note)
            for user_id, kind, key, name in names:
                self._rename(user_id, (kind, key), name)

    def _rename(self, user_id: str, end: Ends, name: str) -> None:
        """Name an entity, if it is there: one that no memory owned, by a mistake of ours, is not."""
        hub = self._tenants.get(user_id, Tenant()).entities.get(end)
        if hub is not None:
            hub.name = name

    def _place(self, note: Note) -> None:
        tenant = self._tenants.setdefault(note.user_id, Tenant())
        tenant.place(note.id, note.node)
        if not tenant.memories:
            del self._tenants[note.user_id]

    def captured(self) -> Captured:
        """Return the graph as it is now."""
        with self._lock:
            tenants = self._tenants.items()
            notes = [Note(user, name, node) for user, tenant in tenants for name, node in tenant.memories.items()]
            names = [(user, *end, hub.name) for user, tenant in tenants for end, hub in tenant.entities.items()]
            return Captured(notes, names, self._stamp)


class Captured:
    """A graph at one moment: its nodes are replaced, never changed."""

    def __init__(self, notes: list[Note], names: list[Name], stamp: Stamp) -> None:
        self._said = notes, names, stamp

    def __iter__(self) -> Iterator[bytes]:
        return chunks(*self._said)

    def close(self) -> None:
        """Nothing is held that others could miss."""


class _Content:
    """The graph as its files see it."""

    kind = "graph"
    format = FORMAT

    def __init__(self, graph: FileGraph) -> None:
        self._graph = graph

    def clear(self) -> None:
        self._graph.empty()

    def load(self, version: int, payload: bytes) -> None:
        del version  # there is but one
        self._graph.put(payload)

    def capture(self) -> Captured:
        return self._graph.captured()
