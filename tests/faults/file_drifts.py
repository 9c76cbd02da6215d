"""What drifts.py plants in a Neo4j, planted in the objects of a graph in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from persistence import Key
from persistence.graph.memory.tenant import Hub
from persistence.projection import Fragment
from tests.faults.truths import FileStores


def _fragment(stores: FileStores, key: Key) -> Fragment:
    fragment = stores.node(key).fragment
    assert fragment is not None
    return fragment


async def missing(stores: FileStores, keys: Sequence[Key]) -> None:
    """Take memories out of the graph with all they own, as if they had never been written."""
    for key in keys:
        stores.tenant(key).place(key.id, None)


async def orphans(stores: FileStores, keys: Sequence[Key]) -> None:
    """Take memories out of truth without a tombstone."""
    await stores.forget(keys)


async def stale(stores: FileStores, keys: Sequence[Key]) -> None:
    """Set the graph's versions back."""
    for key in keys:
        stores.node(key).version -= 5


async def ahead(stores: FileStores, keys: Sequence[Key]) -> None:
    """Set the graph's versions on, as after restoring truth alone."""
    for key in keys:
        stores.node(key).version += 1_000_000


async def content(stores: FileStores, keys: Sequence[Key]) -> None:
    """Change the digests in the graph."""
    for key in keys:
        fragment = _fragment(stores, key)
        stores.node(key).fragment = replace(fragment, digest=fragment.digest // 2)


async def mentions_gone(stores: FileStores, keys: Sequence[Key]) -> None:
    """Remove one edge to an entity."""
    for key in keys:
        first = _fragment(stores, key).mentions[0]
        del stores.tenant(key).entities[first.type, first.key].mentions[key.id]


async def relationships_gone(stores: FileStores, keys: Sequence[Key]) -> None:
    """Remove the relationships that memories state."""
    for key in keys:
        for hub in stores.tenant(key).entities.values():
            hub.links = {link: end for link, end in hub.links.items() if link[0] != key.id}


async def properties_changed(stores: FileStores, keys: Sequence[Key]) -> None:
    """Change what the graph shows of memories, digests and versions untouched."""
    for key in keys:
        stores.node(key).fragment = replace(_fragment(stores, key), caption="somebody else wrote this")


async def entities_added(stores: FileStores, keys: Sequence[Key]) -> None:
    """Put entities that nobody mentions."""
    for key in keys:
        stores.tenant(key).entities["Ghost", key.id] = Hub(key.id)
