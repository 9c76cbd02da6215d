"""What somebody else does to the graph behind everybody's back: the only drift that a check may ever report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from persistence.graph.memory.tenant import Hub, Node, Tenant
from persistence.ports.outbox import Key
from persistence.projection import project
from persistence.records import Memory
from tests.faults.simulator.oracle import NOTHING
from tests.faults.simulator.workload import Op
from tests.faults.simulator.world import World

#: How far a version is moved: less than the time between two writes, and more than any.
LITTLE, MUCH = 1, 10**9


def damage(world: World, op: Op) -> None:
    """Damage what the graph has of a memory, where that is in step now; or put something there that truth never had."""
    kinds: Mapping[str, Callable[[World, Key, Tenant, Node], None]] = {
        "gone": _gone,
        "stale": _stale,
        "ahead": _ahead,
        "content": _content,
        "edge": _edge,
    }
    key, kind = Key(op.user_id, op.id), op.pick(*kinds, "orphan", "ghost", shift=5)
    world.trace.add("damage", kind, *key)
    tenant = world.graph._tenants.setdefault(op.user_id, Tenant())
    if kind == "orphan":
        _orphan(world, Key(op.user_id, f"orphan{op.number}"), tenant)
        return
    if kind == "ghost":
        tenant.entities["Ghost", f"g{op.number}"] = Hub("Ghost")
        world.ghosts.add(op.user_id)
        return
    node = tenant.memories.get(op.id)
    sound = node is not None and node.fragment is not None and not world.oracle.differs(key)
    if node is not None and sound and key not in world.oracle.damaged and key.user_id not in world.oracle.emptied:
        world.oracle.events += 1
        world.oracle.damaged[key] = "edge" if kind == "edge" else "node"
        kinds[kind](world, key, tenant, node)
        world.oracle.look(key)


def _gone(world: World, key: Key, tenant: Tenant, node: Node) -> None:
    tenant.place(key.id, None)


def _stale(world: World, key: Key, tenant: Tenant, node: Node) -> None:
    node.version -= LITTLE


def _ahead(world: World, key: Key, tenant: Tenant, node: Node) -> None:
    node.version += MUCH


def _content(world: World, key: Key, tenant: Tenant, node: Node) -> None:
    if node.fragment is not None:
        node.fragment = replace(node.fragment, digest=node.fragment.digest ^ 1)


def _edge(world: World, key: Key, tenant: Tenant, node: Node) -> None:
    """Take a mention away from its entity; the entity may be left with nobody."""
    if node.fragment is None or not node.fragment.mentions:
        del world.oracle.damaged[key]
        return
    mention = node.fragment.mentions[0]
    tenant.entities[mention.type, mention.key].mentions.pop(key.id)
    world.ghosts.add(key.user_id)


def _orphan(world: World, key: Key, tenant: Tenant) -> None:
    """Put a memory into the graph that truth never had."""
    memory = Memory.model_construct(
        id=key.id, user_id=key.user_id, agent_id=None, run_id=None, content="nobody", entities=(), relationships=()
    )
    fragment = project(memory)
    tenant.place(key.id, Node(round(world.loop.time() * 1e6), fragment.bucket, None, fragment))
    oracle = world.oracle
    oracle.events += 1
    oracle.orphans.add(key)
    oracle.damaged[key] = "node"
    oracle.facts.setdefault(key, [NOTHING])
    oracle.look(key)
