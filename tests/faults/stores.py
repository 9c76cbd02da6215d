"""A real Postgres and a real Neo4j under one roof: services on them, and a look into both past every adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
from neo4j import AsyncGraphDatabase
from psycopg import sql
from psycopg.rows import dict_row

from persistence import AsyncPersistenceService, Entity, Key, PersistenceConfig, Relationship
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.postgres import PostgresGraph
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.projection import Fragment, project
from persistence.records import validated
from persistence.vector.pgvector import PgVectorStore

DIMENSION = 8
#: Truth and graph of a test's stores, as the ``stores`` fixture is asked for them.
GRAPHS = ["pgvector+neo4j", "pgvector+postgres"]
PAIRS = [*GRAPHS, "sqlite+neo4j", "qdrant+neo4j"]
TRUTHS = ["pgvector+neo4j", "sqlite+neo4j", "qdrant+neo4j"]
ALICE, BOB = "alice", "bob"

#: Quick and without a relay of its own, so that a test sees each step; what a test wants otherwise it says.
SETTINGS: Mapping[str, Any] = {
    "embedding_dimension": DIMENSION,
    "enable_relay": False,
    "settle_delay": 0.005,
    "relay_interval": 0.05,
    "relay_backoff": 0.05,
    "relay_backoff_max": 0.2,
    "breaker_probe": 0.1,
    "pool_size": 8,
}


def vector(number: int) -> list[float]:
    """Return an embedding, shape ``(DIMENSION,)``, that depends on the number alone."""
    return [1.0 + (number >> bit) % 2 for bit in range(DIMENSION)]


def draft(number: int, *, user_id: str = ALICE, prefix: str = "m", **more: Any) -> dict[str, Any]:
    """Return a memory of two entities, one of them shared with every third, and a relationship between them."""
    person, place = {"name": f"Person {number}", "type": "Person"}, {"name": f"Place {number % 3}", "type": "Place"}
    return {
        "user_id": user_id,
        "id": f"{prefix}{number:04}",
        "content": f"Person {number} lives in place {number % 3}.",
        "entities": [person, place],
        "relationships": [{"source": person["name"], "type": "LIVES_IN", "target": place["name"]}],
        "embedding": vector(number),
        **more,
    }


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20.0, what: str) -> None:
    """Wait until the condition holds; fail, saying ``what`` was waited for, where it does not in time."""
    end = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        await asyncio.sleep(0.02)


class Node(NamedTuple):
    """A memory's node as it lies in Neo4j."""

    version: int
    digest: int | None
    live: bool
    mentions: list[Any]
    edges: list[Any]


@dataclass(frozen=True)
class Stores:
    """Where one test's truth and graph are."""

    postgres: str
    schema: str
    neo4j: str

    def vector(self, *, pool_size: int = 8) -> PgVectorStore:
        """Return an adapter on the truth, not opened."""
        return PgVectorStore(self.postgres, schema=self.schema, pool_size=pool_size)

    def graph(self) -> GraphStore:
        """Return an adapter on the graph, not opened."""
        return Neo4jGraph(self.neo4j, pool_size=8)

    def config(self, **settings: Any) -> PersistenceConfig:
        """Return the settings of a service on both."""
        urls = {"vector_url": self.postgres, "graph_url": self.neo4j, "schema_name": self.schema}
        return PersistenceConfig(**{**urls, **SETTINGS, **settings})

    @asynccontextmanager
    async def service(
        self, *, vector: VectorStore | None = None, graph: GraphStore | str | None = None, **settings: Any
    ) -> AsyncIterator[AsyncPersistenceService]:
        """Open a service on both, closed at the end."""
        given = AsyncPersistenceService.connect(vector=vector, graph=graph, config=self.config(**settings))
        async with given as memories:
            yield memories

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one SQL statement over a connection of its own."""
        connection = await psycopg.AsyncConnection.connect(self.postgres, autocommit=True, row_factory=dict_row)
        async with connection:
            await connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(self.schema)))
            cursor = await connection.execute(query, parameters)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    async def cypher(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run one Cypher statement over a connection of its own."""
        parts = urlsplit(self.neo4j)
        auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="").geturl()
        async with AsyncGraphDatabase.driver(bare, auth=auth) as driver:
            answer = await driver.execute_query(query, parameters)  # type: ignore[arg-type]
            return [record.data() for record in answer.records]

    async def outbox(self) -> list[dict[str, Any]]:
        """Return every outbox entry."""
        return await self.rows("SELECT *, due_at <= clock_timestamp() AS due FROM outbox ORDER BY user_id, id")

    async def end_leases(self) -> None:
        """Let the time pass for which no relay may take what a dead writer was at."""
        await self.rows("UPDATE outbox SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()")

    async def list_all(self, *, above: int = 0) -> None:
        """List every memory in the outbox, due now, as if something so much above its version had been written."""
        await self.rows(
            """
            INSERT INTO outbox (user_id, id, entry_id, version, created_at, due_at)
            SELECT user_id, id, gen_random_uuid(), version + %s, clock_timestamp(), clock_timestamp() FROM memories
            """,
            above,
        )

    async def set_version(self, version: int) -> None:
        """Give every memory this version, in truth alone."""
        await self.rows("UPDATE memories SET version = %s", version)

    async def set_digest(self, digest: int) -> None:
        """Give every memory this digest, in truth alone."""
        await self.rows("UPDATE memories SET digest = %s", digest)

    async def set_content(self, keys: Sequence[Key], content: str) -> None:
        """Give memories this content, their versions and digests as they were."""
        for key in keys:
            await self.rows("UPDATE memories SET content = %s WHERE user_id = %s AND id = %s", content, *key)

    async def forget(self, keys: Sequence[Key]) -> None:
        """Take memories out of truth without a tombstone."""
        users, ids = [key.user_id for key in keys], [key.id for key in keys]
        await self.rows(
            "DELETE FROM memories WHERE (user_id, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))", users, ids
        )

    async def truth(self) -> dict[Key, tuple[int, int, Fragment | None]]:
        """Return version, digest and fragment of each memory, and version, 0 and None of each tombstone."""
        found = {}
        for row in await self.rows("SELECT * FROM memories"):
            fragment = project(shown(row))
            found[Key(row["user_id"], row["id"])] = (row["version"], row["digest"], fragment)
        for row in await self.rows("SELECT * FROM tombstones"):
            found[Key(row["user_id"], row["id"])] = (row["version"], 0, None)
        return found

    async def nodes(self) -> dict[Key, Node]:
        """Return what lies in the graph of every memory."""
        rows = await self.cypher("""
            MATCH (m:DiptychMemory)
            RETURN m.user_id AS user_id, m.id AS id, m.version AS version, m.digest AS digest, m:Memory AS live,
              [(m)-[r:MENTIONS]->(e:DiptychEntity) | [e.user_id, e.type, e.key, properties(r)]] AS mentions
        """)
        nodes = {
            Key(r["user_id"], r["id"]): Node(r["version"], r["digest"], r["live"], r["mentions"], []) for r in rows
        }
        edges = await self.cypher("""
            MATCH (s:DiptychEntity)-[r]->(t:DiptychEntity)
            RETURN r.user_id AS user_id, r.memory_id AS id, s.type AS s_type, s.key AS s_key, type(r) AS type,
              t.type AS t_type, t.key AS t_key, s.user_id = t.user_id AND s.user_id = r.user_id AS walled
        """)
        for e in edges:
            key = Key(e["user_id"], e["id"])
            assert e["walled"], f"an edge of {key} crosses the wall between tenants"
            assert key in nodes, f"an edge of {key}, which is not in the graph"
            nodes[key].edges.append((e["s_type"], e["s_key"], e["type"], e["t_type"], e["t_key"]))
        return nodes

    async def entities(self) -> list[dict[str, Any]]:
        """Return all entities in the graph, and whether a memory mentions them."""
        return await self.cypher(
            "MATCH (e:DiptychEntity) "
            "RETURN e.user_id AS user_id, e.key AS key, exists((e)<-[:MENTIONS]-(:DiptychMemory)) AS mentioned"
        )

    async def differences(self) -> list[str]:
        """Say where the graph is not exactly what truth projects to; nothing where both are in step."""
        truth, nodes = await self.truth(), await self.nodes()
        found = [f"{key}: in the graph, not in truth" for key in nodes.keys() - truth.keys()]
        for key, (version, digest, fragment) in sorted(truth.items()):
            found += _compare(key, version, digest, fragment, nodes.get(key))
        return found + [f"orphan entity {entity}" for entity in await self.entities() if not entity["mentioned"]]

    async def assert_in_step(self) -> None:
        """Fail where something is in doubt, dead, missing, twice, or otherwise than truth says."""
        assert await self.outbox() == []
        assert await self.differences() == []

    async def in_step(self) -> bool:
        """Say whether nothing is in doubt and nothing differs."""
        return not await self.outbox() and not await self.differences()

    async def unseen(self) -> list[str]:
        """Say which memories differ from truth without being listed in the outbox; nothing may, at any time (I2)."""
        listed = {Key(entry["user_id"], entry["id"]) for entry in await self.outbox()}
        truth, nodes = await self.truth(), await self.nodes()
        found: list[str] = []
        for key, (version, digest, fragment) in truth.items():
            if key not in listed:
                found += _compare(key, version, digest, fragment, nodes.get(key))
        return found

    async def assert_doubts_listed(self) -> None:
        """Fail where a memory differs from truth that the outbox does not list."""
        assert await self.unseen() == []


class StoresOnPostgres(Stores):
    """The same with the graph in a schema beside the truth's: ``neo4j`` is the URL of that database."""

    def graph(self) -> GraphStore:
        return PostgresGraph(self.neo4j, schema=self.graph_schema, pool_size=8)

    @property
    def graph_schema(self) -> str:
        """The schema of the graph, as it is named after the truth's."""
        return f"{self.schema}_graph"

    async def graph_rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one SQL statement in the graph, over a connection of its own."""
        connection = await psycopg.AsyncConnection.connect(self.neo4j, autocommit=True, row_factory=dict_row)
        async with connection:
            await connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self.graph_schema)))
            cursor = await connection.execute(query, parameters)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    async def entities(self) -> list[dict[str, Any]]:
        return await self.graph_rows("""
            SELECT user_id, key, EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number) AS mentioned
            FROM entities AS e
        """)

    async def nodes(self) -> dict[Key, Node]:
        mentions = await self.graph_rows("""
            SELECT x.memory, e.user_id, e.type, e.key, x.properties
            FROM mentions AS x JOIN entities AS e ON e.number = x.entity
        """)
        edges = await self.graph_rows("""
            SELECT x.memory, s.type AS s_type, s.key AS s_key, x.type, t.type AS t_type, t.key AS t_key,
                s.user_id = m.user_id AND t.user_id = m.user_id AS walled
            FROM edges AS x JOIN memories AS m ON m.number = x.memory
            JOIN entities AS s ON s.number = x.source JOIN entities AS t ON t.number = x.target
        """)
        assert all(edge["walled"] for edge in edges), "an edge crosses the wall between tenants"
        return {
            Key(row["user_id"], row["id"]): Node(
                row["version"],
                row["digest"],
                row["digest"] is not None,
                [
                    [m["user_id"], m["type"], m["key"], m["properties"]]
                    for m in mentions
                    if m["memory"] == row["number"]
                ],
                [
                    (e["s_type"], e["s_key"], e["type"], e["t_type"], e["t_key"])
                    for e in edges
                    if e["memory"] == row["number"]
                ],
            )
            for row in await self.graph_rows("SELECT * FROM memories")
        }


class Shown(NamedTuple):
    """What of a row of truth shows in the graph."""

    id: str
    user_id: str
    agent_id: str | None
    run_id: str | None
    content: str
    entities: Any
    relationships: Any


def shown(row: Mapping[str, Any]) -> Shown:
    """Return what of a row of truth shows in the graph."""
    return Shown(
        row["id"],
        row["user_id"],
        row.get("agent_id"),
        row.get("run_id"),
        row["content"],
        tuple(validated(Entity, entity) for entity in row["entities"]),
        tuple(validated(Relationship, relation) for relation in row["relationships"]),
    )


def _compare(key: Key, version: int, digest: int, fragment: Fragment | None, node: Node | None) -> list[str]:
    if node is None:
        # A tombstone that no graph ever heard of is as good as one.
        return [f"{key}: not in the graph"] if fragment else []
    if fragment is None:
        gone = not (node.live or node.mentions or node.edges) and node.version == version
        return [] if gone else [f"{key}: deleted in truth at {version}, in the graph {node}"]
    mentions = sorted(([key.user_id, m.type, m.key, dict(m.properties)] for m in fragment.mentions), key=str)
    ends = [(m.type, m.key) for m in fragment.mentions]
    edges = sorted((*ends[e.source], e.type, *ends[e.target]) for e in fragment.edges)
    same = (
        (node.version, node.digest, node.live) == (version, digest, True)
        and sorted(node.mentions, key=str) == mentions
        and sorted(node.edges) == edges
    )
    return [] if same else [f"{key}: at {version} {mentions} {edges} in truth, in the graph {node}"]
