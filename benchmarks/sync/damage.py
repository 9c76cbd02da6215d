"""What is done to the graph behind the service's back."""

from __future__ import annotations

from collections.abc import Sequence

import neo4j

from persistence import Key

BATCH = 1_000

_SET_BACK = """
UNWIND $keys AS key
MATCH (m:DiptychMemory {user_id: key[0], id: key[1]})
SET m.version = m.version - 1
"""
_TAKE_OUT = """
UNWIND $keys AS key
MATCH (m:DiptychMemory {user_id: key[0], id: key[1]})
CALL (m) {
  UNWIND m.edge_ids AS edge_id
  MATCH ()-[r]->()
  WHERE id(r) = edge_id
  DELETE r
}
DETACH DELETE m
"""
_TAKE_OUT_LONELY = "MATCH (e:DiptychEntity) WHERE NOT EXISTS { (e)--() } DELETE e"
_WIPE_MEMORIES = """
MATCH (m:DiptychMemory) WHERE m.user_id = $user_id AND m.id IS NOT NULL
CALL (m) { DETACH DELETE m } IN TRANSACTIONS OF 2000 ROWS
"""
_WIPE_EDGES = """
MATCH (e:DiptychEntity) WHERE e.user_id = $user_id AND e.type IS NOT NULL AND e.key IS NOT NULL
MATCH (e)-[r]->(:DiptychEntity)
CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS
"""
_WIPE_ENTITIES = """
MATCH (e:DiptychEntity) WHERE e.user_id = $user_id AND e.type IS NOT NULL AND e.key IS NOT NULL
CALL (e) { DELETE e } IN TRANSACTIONS OF 2000 ROWS
"""


async def set_back(driver: neo4j.AsyncDriver, keys: Sequence[Key]) -> None:
    """Give memories in the graph a version too low by one."""
    await driver.execute_query(_SET_BACK, keys=[list(key) for key in keys])


async def take_out(driver: neo4j.AsyncDriver, keys: Sequence[Key]) -> None:
    """Remove memories with all that they own."""
    for start in range(0, len(keys), BATCH):
        await driver.execute_query(_TAKE_OUT, keys=[list(key) for key in keys[start : start + BATCH]])
    await driver.execute_query(_TAKE_OUT_LONELY)


async def wipe(driver: neo4j.AsyncDriver, user_id: str) -> None:
    """Remove all that a tenant has, tombstones included."""
    async with driver.session() as session:
        for statement in (_WIPE_MEMORIES, _WIPE_EDGES, _WIPE_ENTITIES):
            result = await session.run(statement, user_id=user_id)
            await result.consume()
