"""What is done to the one graph database that all sides share."""

from __future__ import annotations

import neo4j


async def forget_store(driver: neo4j.AsyncDriver) -> None:
    """Take away the stamp that says whose graph this is, so that another truth may have it."""
    await driver.execute_query("MATCH (s:DiptychStore) DETACH DELETE s")


async def count_graph(driver: neo4j.AsyncDriver, user_id: str) -> tuple[int, int]:
    """Count a tenant's memories and the edges between its entities, as diptych writes them."""
    found = await driver.execute_query(
        "MATCH (m:DiptychMemory {user_id: $user_id}) WITH count(m) AS memories "
        "MATCH (:DiptychEntity {user_id: $user_id})-[r]->(:DiptychEntity) RETURN memories, count(r) AS edges",
        user_id=user_id,
    )
    return found.records[0]["memories"], found.records[0]["edges"]


async def empty_graph(driver: neo4j.AsyncDriver) -> None:
    """Remove every node that a side has made. For a server that is used for benchmarks alone."""
    async with driver.session() as session:
        # A label cannot be a parameter of MATCH in this position; these five are ours.
        for label in ("DiptychMemory", "DiptychEntity", "DiptychStore", "NaiveMemory", "NaiveEntity"):
            result = await session.run(f"MATCH (n:{label}) CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 2000 ROWS")
            await result.consume()
