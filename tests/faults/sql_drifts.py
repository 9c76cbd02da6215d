"""What drifts.py plants in a Neo4j, planted in a graph on PostgreSQL with SQL."""

from __future__ import annotations

from collections.abc import Sequence

from persistence import Key
from tests.faults.stores import StoresOnPostgres

#: The numbers of the memories of the keys given.
CHOSEN = "SELECT number FROM memories WHERE (user_id, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"


async def _run(stores: StoresOnPostgres, keys: Sequence[Key], *statements: str) -> None:
    for statement in statements:
        await stores.graph_rows(statement.format(CHOSEN), [key.user_id for key in keys], [key.id for key in keys])


async def missing(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Take memories out of the graph with all they own, as if they had never been written."""
    await _run(stores, keys, "DELETE FROM edges WHERE memory IN ({})", "DELETE FROM mentions WHERE memory IN ({})")
    await _run(stores, keys, "DELETE FROM memories WHERE number IN ({})")
    await stores.graph_rows("DELETE FROM entities AS e WHERE NOT EXISTS (SELECT FROM mentions WHERE entity = e.number)")


async def orphans(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Take memories out of truth without a tombstone."""
    await stores.forget(keys)


async def stale(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Set the graph's versions back."""
    await _run(stores, keys, "UPDATE memories SET version = version - 5 WHERE number IN ({})")


async def ahead(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Set the graph's versions on, as after restoring truth alone."""
    await _run(stores, keys, "UPDATE memories SET version = version + 1000000 WHERE number IN ({})")


async def content(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Change the digests in the graph."""
    await _run(stores, keys, "UPDATE memories SET digest = digest / 2 WHERE number IN ({})")


async def mentions_gone(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Remove one edge to an entity."""
    await _run(
        stores,
        keys,
        "DELETE FROM mentions WHERE (memory, entity) IN "
        "(SELECT memory, min(entity) FROM mentions WHERE memory IN ({}) GROUP BY memory)",
    )


async def relationships_gone(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Remove the relationships that memories state."""
    await _run(stores, keys, "DELETE FROM edges WHERE memory IN ({})")


async def properties_changed(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Change what the graph shows of memories, digests and versions untouched."""
    await _run(stores, keys, "UPDATE memories SET caption = 'somebody else wrote this' WHERE number IN ({})")


async def entities_added(stores: StoresOnPostgres, keys: Sequence[Key]) -> None:
    """Put entities that nobody mentions."""
    for key in keys:
        await stores.graph_rows(
            "INSERT INTO entities (user_id, type, key, name) VALUES (%s, 'Ghost', %s, 'a ghost')", *key
        )
