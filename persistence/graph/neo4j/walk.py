"""A walk from memories over shared entities and relationships, step by step, until enough is found."""

from __future__ import annotations

from collections.abc import Sequence

from persistence.graph.neo4j import answers, statements
from persistence.graph.neo4j.connection import Connection
from persistence.graph.ordering import FAN_OUT, FRONTIER
from persistence.ports.graph import GraphHit

Ends = list[tuple[str, str]]


class Walk:
    """One walk within one tenant. A step is one statement, so a walk that has found enough goes no further."""

    def __init__(self, connection: Connection, user_id: str, ids: Sequence[str]) -> None:
        self._connection = connection
        self._user_id = user_id
        self._ids = list(dict.fromkeys(ids))

    async def hits(self, depth: int, limit: int) -> list[GraphHit]:
        """Return what is reached within ``depth``, nearest first."""
        found: list[GraphHit] = []
        frontier = await self._start() if depth > 0 and limit > 0 else []
        visited = set(frontier)
        for distance in range(1, depth + 1):
            if not frontier or len(found) >= limit:
                break
            found += await self._reach(frontier, distance, found, limit - len(found))
            if distance < depth and len(found) < limit:
                frontier = await self._step(frontier, visited)
                visited.update(frontier)
        return found

    async def mentioning(self, entity: tuple[str, str], limit: int) -> list[str]:
        """Return memories that mention an entity, in the order of their ids."""
        return sorted(hit.memory_id for hit in await self._reach([entity], 1, [], FAN_OUT))[:limit]

    async def _start(self) -> Ends:
        given = {"user_id": self._user_id, "walk": {"ids": self._ids}}
        ends = await self._connection.rows(statements.START, given)
        return sorted((kind, key) for kind, key in ends)[:FRONTIER]

    async def _reach(self, frontier: Ends, distance: int, found: list[GraphHit], limit: int) -> list[GraphHit]:
        """Return what is reached first at this distance. What was seen before comes again, and is left out here."""
        seen = {*self._ids, *(hit.memory_id for hit in found)}
        walk = {"frontier": [list(end) for end in frontier]}
        given = {"user_id": self._user_id, "walk": walk, "fan_out": FAN_OUT, "limit": limit + len(seen)}
        rows = await self._connection.rows(statements.REACH, given)
        hits = [answers.hit(row, distance) for row in rows if row[0] not in seen]
        # The server's order of ids outside the index is not always that of code points.
        return sorted(hits, key=lambda hit: (-hit.shared, hit.memory_id))[:limit]

    async def _step(self, frontier: Ends, visited: set[tuple[str, str]]) -> Ends:
        walk = {"frontier": [list(end) for end in frontier]}
        given = {"user_id": self._user_id, "walk": walk, "fan_out": FAN_OUT}
        ends = await self._connection.rows(statements.STEP, given)
        return sorted({(kind, key) for kind, key in ends} - visited)[:FRONTIER]
