"""Every public operation of both services, as it is called on a world that has something for it to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from persistence import AsyncPersistenceService, Key, MemoryDraft
from persistence.errors import GraphStoreError
from persistence.gates import GraphRole
from persistence.ports.graph import GraphWrite
from persistence.projection import bucket, project
from sync import AsyncSyncService, Depth
from sync.erasing import erase
from tests.faults.proxies import failing
from tests.faults.stores import draft, vector

Do = Callable[["Scene"], Awaitable[Any]]


class Scene(Protocol):
    """What an operation is given. ``noted``: what ``prepare`` left for it; ``planted``: it made drift on purpose."""

    user: str
    memories: AsyncPersistenceService
    noted: Any
    planted: bool

    @property
    def sync(self) -> AsyncSyncService: ...

    async def reopen(self, *, adopt: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. ``whole``: opening and closing the service belong to it."""

    name: str
    method: str
    do: Do
    prepare: Do | None = None
    whole: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def single(self) -> bool:
        """Whether it is one write of one memory: refused, it has changed nothing."""
        return self.method in {"store", "update", "delete"}


def item(scene: Scene, number: int, **more: Any) -> dict[str, Any]:
    """Return a memory of the scene's tenant."""
    return draft(number, user_id=scene.user, **more)


# --- what there is to do first --------------------------------------------------------------------------------


async def _emptied(scene: Scene) -> None:
    """Take everything of the tenant out of the graph, and put a memory there that truth knows nothing of."""
    parts = scene.memories.parts
    if parts.graph.role is not GraphRole.REGISTERED:
        return
    scene.planted = True
    graph = parts.graph.store
    while await graph.clear(scene.user, limit=100, timeout=60):
        pass
    found = await scene.memories.get("m0001", user_id=scene.user)
    assert found is not None
    ghost = found.model_copy(update={"id": "ghost"})
    place = bucket(scene.user, ghost.id)
    await graph.apply([GraphWrite(scene.user, ghost.id, found.version, place, None, project(ghost))], timeout=60)


async def _listed(scene: Scene) -> None:
    """Leave a memory in the outbox, due, with the graph behind."""
    parts = scene.memories.parts
    if parts.graph.role is not GraphRole.REGISTERED:
        return
    graph: Any = parts.graph.store
    kept, graph.before = graph.before, {"apply": failing(GraphStoreError("The graph refuses this."))}
    await scene.memories.store(**item(scene, 1, content="behind"))
    graph.before = kept


async def _dead(scene: Scene) -> None:
    """Leave a memory whose entry the relay has given up."""
    parts = scene.memories.parts
    if parts.graph.role is not GraphRole.REGISTERED:
        return
    scene.planted = True
    graph: Any = parts.graph.store
    kept, graph.before = graph.before, {"apply": failing(GraphStoreError("The graph refuses this."))}
    await scene.memories.store(**item(scene, 1, content="behind"))
    await scene.memories.drain()
    graph.before = kept
    assert await scene.memories.dead_letters(user_id=scene.user)


async def _deleted(scene: Scene) -> None:
    await scene.memories.delete("m0001", user_id=scene.user)


async def _interrupted(scene: Scene) -> None:
    """Leave a rebuild that was begun and interrupted."""
    if scene.memories.parts.graph.role is not GraphRole.REGISTERED:
        await _checked(scene)
        return
    parts: Any = scene.memories.parts
    graph = parts.graph.store
    kept, graph.before = graph.before, {"unstamped": failing(GraphStoreError("The graph refuses this."))}
    report = await scene.sync.rebuild_graph(user_id=scene.user)
    graph.before = kept
    assert not report.complete
    scene.noted = report.run_id


async def _checked(scene: Scene) -> None:
    scene.noted = (await scene.sync.check_consistency(user_id=scene.user)).run_id


async def _found(scene: Scene) -> None:
    await _emptied(scene)
    await _checked(scene)


# --- what is done ------------------------------------------------------------------------------------------


async def _resume(scene: Scene) -> None:
    if isinstance(scene.noted, UUID) and scene.memories.parts.graph.role is GraphRole.REGISTERED:
        await scene.sync.resume_run(scene.noted)


async def _bulk_load(scene: Scene) -> None:
    async with scene.memories.bulk_load():
        await scene.memories.store(**item(scene, 9))


async def _discard(scene: Scene) -> None:
    await scene.memories.discard_dead(Key(scene.user, "m0001"))


def _one(call: Callable[..., Awaitable[Any]]) -> Do:
    """Call a method of the service on the memory that is there."""
    return lambda scene: call(scene.memories, "m0001", user_id=scene.user)


def _of(call: Callable[..., Awaitable[Any]], **more: Any) -> Do:
    return lambda scene: call(scene.memories, user_id=scene.user, **more)


def _sync(call: Callable[..., Awaitable[Any]], **more: Any) -> Do:
    return lambda scene: call(scene.sync, user_id=scene.user, **more)


def _many(scene: Scene) -> Awaitable[Any]:
    drafts = [MemoryDraft(**item(scene, number, content="new")) for number in (1, 2, 7, 8)]
    return scene.memories.store_many(drafts)


S, Y = AsyncPersistenceService, AsyncSyncService
DEPTHS = tuple(Depth)

OPERATIONS: tuple[Operation, ...] = (
    Operation("store, new", "store", lambda s: s.memories.store(**item(s, 7))),
    Operation("store, replace", "store", lambda s: s.memories.store(**item(s, 1, content="new"))),
    Operation("store, of a deleted one", "store", lambda s: s.memories.store(**item(s, 1, content="new")), _deleted),
    Operation(
        "store, by idempotency key",
        "store",
        lambda s: s.memories.store("once", user_id=s.user, embedding=vector(7), idempotency_key="key"),
    ),
    Operation("store_many", "store_many", _many),
    Operation("update", "update", lambda s: s.memories.update("m0001", user_id=s.user, content="new")),
    Operation("delete", "delete", _one(S.delete)),
    Operation("delete_all", "delete_all", _of(S.delete_all)),
    Operation("get", "get", _one(S.get)),
    Operation("get_all", "get_all", _of(S.get_all)),
    Operation("search", "search", lambda s: s.memories.search(vector(1), user_id=s.user, expand=1)),
    Operation("related", "related", _one(S.related)),
    Operation("neighbourhood", "neighbourhood", _one(S.neighbourhood)),
    Operation("wait_until_in_step", "wait_until_in_step", _one(S.wait_until_in_step)),
    Operation("count", "count", _of(S.count)),
    Operation("get_health", "get_health", lambda s: s.memories.get_health()),
    Operation("get_stats", "get_stats", lambda s: s.memories.get_stats()),
    Operation("drain", "drain", lambda s: s.memories.drain(), _listed),
    Operation("dead_letters", "dead_letters", _of(S.dead_letters), _dead),
    Operation("retry_dead", "retry_dead", lambda s: s.memories.retry_dead([Key(s.user, "m0001")]), _dead),
    Operation("discard_dead", "discard_dead", _discard, _dead),
    Operation("bulk_load", "bulk_load", _bulk_load),
    Operation("open, close", "open", lambda s: s.reopen(), whole=True),
    Operation("open, adopting the graph", "open", lambda s: s.reopen(adopt=True), whole=True),
    Operation("close, with a write to settle", "close", lambda s: s.memories.store(**item(s, 7)), whole=True),
    *(Operation(f"check, {d}", "check_consistency", _sync(Y.check_consistency, depth=d), _emptied) for d in DEPTHS),
    *(
        Operation(
            f"repair, {d}",
            "repair_inconsistencies",
            _sync(Y.repair_inconsistencies, depth=d, dry_run=False, force=True),
            _emptied,
        )
        for d in DEPTHS
    ),
    Operation("repair, dry run", "repair_inconsistencies", _sync(Y.repair_inconsistencies), _emptied),
    Operation(
        "repair, of a check",
        "repair_inconsistencies",
        lambda s: s.sync.repair_inconsistencies(user_id=s.user, dry_run=False, force=True, run_id=s.noted),
        _found,
    ),
    Operation("full sync", "full_sync", _sync(Y.full_sync, force=True), _emptied),
    Operation("rebuild", "rebuild_graph", _sync(Y.rebuild_graph, force=True), _emptied),
    Operation("rebuild, emptied first", "rebuild_graph", _sync(Y.rebuild_graph, clear_existing=True), _listed),
    Operation("resume_run", "resume_run", _resume, _interrupted),
    Operation("cancel_run", "cancel_run", lambda s: s.sync.cancel_run(s.noted), _checked),
    Operation("get_run", "get_run", lambda s: s.sync.get_run(s.noted), _checked),
    Operation("list_runs", "list_runs", _sync(Y.list_runs), _checked),
    Operation("list_inconsistencies", "list_inconsistencies", _sync(Y.list_inconsistencies), _found),
    Operation("get_stats, of the sync", "get_stats", lambda s: s.sync.get_stats()),
    Operation("get_stats, of a tenant", "get_stats", _sync(Y.get_stats), _checked),
    Operation("prune", "prune", lambda s: s.sync.prune(age=3_600)),
    Operation("erase", "erase", lambda s: erase(s.memories, s.user)),
    Operation("erase, one memory", "erase", lambda s: erase(s.memories, s.user, "m0001")),
)

#: What is no operation on the stores: it makes a service, or is one of its parts.
NONE_OF_THEM = frozenset({"connect", "parts", "memories"})
