"""After every run the world calms down: no faults any more, and everything has to come in step by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from persistence.breaker import BreakerState
from persistence.graph.memory.tenant import Tenant
from persistence.ports.outbox import Key
from persistence.ports.runs import RunKind, RunState
from persistence.projection import project
from persistence.vector.memory.rows import Row, to_memory
from persistence.vector.memory.run_rows import to_run
from persistence.vector.memory.state import Table
from sync import Depth
from tests.faults.simulator.acts import Acts
from tests.faults.simulator.faults import LATEST
from tests.faults.simulator.world import AGAIN, Slot, World

#: Seconds in which every call has to end, whatever became of it: the longest deadline of a run's parts, doubled.
ENDED = 600.0
#: How often the graph is looked for until a process knows that it is there again.
PATIENCE = 20
#: The number of the operation under which calming down goes.
LAST = 1_000_000


async def calm(acts: Acts) -> None:
    """End the faults, let everything come to rest, and see what is there."""
    world = acts.world
    world.faults.calm = True
    world.truth_server.down_until = world.graph_server.down_until = 0.0
    await _ended(acts)
    world.poisoned.clear()
    slot = await _somebody(world)
    process = slot.process
    if process is not None:
        await world.spawn(process, LAST, _come_to_rest(acts, slot))
    compare(world)
    for other in world.slots:
        if other.memories is not None and other.process is not None:
            await world.spawn(other.process, LAST, other.memories.close())


async def _ended(acts: Acts) -> None:
    """Wait for the calls that are under way, and for what is still on its way to a store."""
    world = acts.world
    for slot in world.slots:
        if slot.process is not None and slot.process.stopped:
            world.loop.go_on(slot.process)
    await asyncio.sleep(LATEST + 1)
    if going := acts.going():
        await asyncio.wait([task for _, task in going], timeout=ENDED)
    for op, _ in acts.going():
        world.oracle.broke("deadlines", f"operation {op.number} ({op.do}) did not end")


async def _somebody(world: World) -> Slot:
    """Return a slot with a process, a new one where none is left."""
    for slot in world.slots:
        if slot.memories is not None:
            return slot
    slot = world.slots[0]
    while slot.memories is None:
        if slot.process is None:
            world.born(slot, LAST)
        await asyncio.sleep(AGAIN)
    return slot


async def _come_to_rest(acts: Acts, slot: Slot) -> None:
    try:
        await _mend(acts, slot)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is wrong
        acts.world.oracle.broke("calm", f"{error!r} where nothing fails any more")


async def _mend(acts: Acts, slot: Slot) -> None:
    """Do what an operator does: retry what is dead, take up rebuilds that died, repair what others have damaged."""
    world, memories = acts.world, slot.memories
    if memories is None:
        return
    await _revive(world, memories)
    await _drained(world, memories)
    sync = world.sync(slot)
    for user_id in sorted(_unfinished(world)):
        await sync.rebuild_graph(user_id=user_id, clear_existing=True)
    if world.oracle.damaged or world.ghosts:
        await _check(acts, slot, found=True)
        await sync.repair_inconsistencies(Depth.FULL, dry_run=False, force=True)
        await _drained(world, memories)
    await _check(acts, slot, found=False)


def _unfinished(world: World) -> set[str]:
    """Return the tenants that a rebuild was to empty first, and did not come to its end."""
    runs = world.storage.state.rows(Table.RUNS).values()
    left = (run for run in runs if run.kind is RunKind.REBUILD and run.state not in {RunState.DONE, RunState.FAILED})
    return {*world.oracle.emptied, *(run.user_id for run in left if to_run(run).request["clear_existing"])}


async def _revive(world: World, memories: Any) -> None:
    """Dead entries are listed, and are retried by hand."""
    entries = world.storage.state.outbox.by_key.values()
    dead = {entry.key for entry in entries if entry.dead_at is not None}
    listed = {Key(entry.user_id, entry.id) for entry in await memories.dead_letters(limit=1_000)}
    if dead != listed:
        world.oracle.broke("calm", f"dead: {sorted(dead)}, listed as dead: {sorted(listed)}")
    await memories.retry_dead(None)


async def _drained(world: World, memories: Any) -> None:
    for _ in range(PATIENCE):
        report = await memories.drain()
        if not report.pending and memories.parts.graph.breaker.state is BreakerState.CLOSED:
            break
        await asyncio.sleep(AGAIN)
    if report.pending or report.dead or world.storage.state.outbox.by_key:
        world.oracle.broke("calm", f"after the relay: {report}, {list(world.storage.state.outbox.by_key)}")


async def _check(acts: Acts, slot: Slot, *, found: bool) -> None:
    """See that a full check of everything is complete, and finds nothing but what was damaged."""
    since = acts.world.oracle.events
    report = await acts.world.sync(slot).check_consistency(Depth.FULL, limit=1_000)
    acts.judge(LAST, report, since, whole=True)
    if not report.complete or (not found and not report.in_step):
        acts.world.oracle.broke("calm", f"the last check says {report}")


def compare(world: World) -> None:
    """See that the graph is the projection of truth, tenant by tenant, edge by edge, and nothing else."""
    tenants = world.storage.state.tenants
    for user_id in sorted({*tenants, *world.graph._tenants}):
        rows = list(tenants[user_id].memories.values()) if user_id in tenants else []
        graph = world.graph._tenants.get(user_id) or Tenant()
        if (said := _unlike(rows, graph)) is not None:
            world.oracle.broke("projection", f"{user_id}: {said}")


def _unlike(rows: list[Row], graph: Tenant) -> str | None:
    """Say in what way a tenant's graph is not the projection of its memories."""
    wanted = {row.id: (row.version, project(to_memory(row))) for row in rows}
    there = {name: (node.version, node.fragment) for name, node in graph.memories.items() if node.fragment is not None}
    if wanted != there:
        names = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
        return f"the memories {names} differ: {[(wanted.get(n), there.get(n)) for n in names]}"
    mentions: dict[tuple[str, str], set[str]] = {}
    links: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for name, (_, fragment) in wanted.items():
        ends = [(m.type, m.key) for m in fragment.mentions]
        for end in ends:
            mentions.setdefault(end, set()).add(name)
        for place, edge in enumerate(fragment.edges):
            for end in (ends[edge.source], ends[edge.target]):
                links.setdefault(end, set()).add((name, place))
    hubs = {end: (set(hub.mentions), set(hub.links)) for end, hub in graph.entities.items()}
    expected = {end: (names, links.get(end, set())) for end, names in mentions.items()}
    return None if hubs == expected else f"the entities differ: {expected} {hubs}"
