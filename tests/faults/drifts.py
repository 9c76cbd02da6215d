"""Drift planted by hand, with SQL and Cypher, as a person or a defect would: one function a kind."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence

from persistence import AsyncPersistenceService, Key
from persistence.ports.runs import Kind
from sync import AsyncSyncService, CheckReport, SyncInconsistency
from tests.faults.stores import Stores, draft

#: Finds the memories of ``$keys``, each ``[user_id, id]``.
MEMORIES = "UNWIND $keys AS key MATCH (m:DiptychMemory {user_id: key[0], id: key[1]}) "

Plant = Callable[[Stores, Sequence[Key]], Awaitable[None]]


async def _cypher(stores: Stores, keys: Sequence[Key], what: str) -> None:
    await stores.cypher(MEMORIES + what, keys=[list(key) for key in keys])


async def missing(stores: Stores, keys: Sequence[Key]) -> None:
    """Take memories out of the graph with all they own, as if they had never been written."""
    await _cypher(stores, keys, "OPTIONAL MATCH ()-[r]->() WHERE r.user_id = m.user_id AND r.memory_id = m.id DELETE r")
    await _cypher(stores, keys, "DETACH DELETE m")
    await stores.cypher("MATCH (e:DiptychEntity) WHERE NOT (e)--() DELETE e")


async def orphans(stores: Stores, keys: Sequence[Key]) -> None:
    """Take memories out of truth without a tombstone."""
    await stores.forget(keys)


async def stale(stores: Stores, keys: Sequence[Key]) -> None:
    """Set the graph's versions back."""
    await _cypher(stores, keys, "SET m.version = m.version - 5")


async def ahead(stores: Stores, keys: Sequence[Key]) -> None:
    """Set the graph's versions on, as after restoring truth alone."""
    await _cypher(stores, keys, "SET m.version = m.version + 1000000")


async def content(stores: Stores, keys: Sequence[Key]) -> None:
    """Change the digests in the graph."""
    await _cypher(stores, keys, "SET m.digest = m.digest / 2")


async def mentions_gone(stores: Stores, keys: Sequence[Key]) -> None:
    """Remove one edge to an entity."""
    await _cypher(stores, keys, "MATCH (m)-[r:MENTIONS]->() WITH m, collect(r)[0] AS r DELETE r")


async def relationships_gone(stores: Stores, keys: Sequence[Key]) -> None:
    """Remove the relationships that memories state."""
    await _cypher(
        stores, keys, "MATCH (m)-[:MENTIONS]->()-[r {user_id: m.user_id, memory_id: m.id}]->(:DiptychEntity) DELETE r"
    )


async def relationships_added(stores: Stores, keys: Sequence[Key]) -> None:
    """Put relationships in the name of memories that do not state them."""
    await _cypher(
        stores,
        keys,
        "MATCH (m)-[:MENTIONS]->(e) WITH m, collect(e)[0] AS e "
        "CREATE (e)-[:INVENTED {user_id: m.user_id, memory_id: m.id}]->(e)",
    )


async def properties_changed(stores: Stores, keys: Sequence[Key]) -> None:
    """Change what the graph shows of memories, digests and versions untouched."""
    await _cypher(stores, keys, "SET m.caption = 'somebody else wrote this'")


async def entities_added(stores: Stores, keys: Sequence[Key]) -> None:
    """Put entities that nobody mentions."""
    await stores.cypher(
        "UNWIND $keys AS k CREATE (:DiptychEntity:Entity {user_id: k[0], type: 'Ghost', key: k[1], name: k[1]})",
        keys=[list(key) for key in keys],
    )


#: Of each kind how it is planted, and from which depth on it shows.
QUICK: dict[Kind, Plant] = {
    Kind.MISSING: missing,
    Kind.ORPHAN: orphans,
    Kind.STALE: stale,
    Kind.AHEAD: ahead,
    Kind.CONTENT: content,
}


async def fill(memories: AsyncPersistenceService, users: Iterable[str], number: int) -> list[Key]:
    """Store so many memories for each user; return their keys."""
    drafts = [draft(i, user_id=user) for user in users for i in range(number)]
    results = await memories.store_many(drafts)
    await memories.drain()
    return [Key(result.user_id, result.id) for result in results]


class Pick:
    """Deals keys out at random, each once."""

    def __init__(self, keys: Iterable[Key], seed: int) -> None:
        self._keys = sorted(keys)
        random.Random(seed).shuffle(self._keys)

    def __call__(self, number: int) -> list[Key]:
        """Return so many keys that nobody else gets."""
        picked, self._keys = self._keys[:number], self._keys[number:]
        assert len(picked) == number
        return picked


def by_kind(found: Iterable[SyncInconsistency]) -> dict[Kind, set[Key]]:
    """Return the memories of each kind; an entity that nobody mentions stands with its key."""
    kinds: dict[Kind, set[Key]] = {}
    for one in found:
        key = Key(one.user_id, one.memory_id if one.memory_id is not None else (one.entity or ("", ""))[1])
        kinds.setdefault(one.kind, set()).add(key)
    return kinds


async def recorded(sync: AsyncSyncService, report: CheckReport) -> dict[Kind, set[Key]]:
    """Return everything a check has found, from its record."""
    found, after = [], 0
    while page := await sync.list_inconsistencies(run_id=report.run_id, open=True, after=after, limit=1_000):
        found += [row.inconsistency for row in page]
        after = page[-1].number
    return by_kind(found)
