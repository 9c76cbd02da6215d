"""Memories for the command, and what somebody does behind its back with SQL and Cypher."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from neo4j import Driver

RELATED = "MATCH ()-[r]->() WHERE r.user_id = m.user_id AND r.memory_id = m.id DELETE r"
OURS = "MATCH (n:DiptychMemory|DiptychEntity) WHERE $user IS NULL OR n.user_id = $user DETACH DELETE n"


def fill(command: Callable[..., Any], *users: str, count: int = 3) -> None:
    """Import memories m0000, m0001, … for each user, each of an entity of its own and one that every third has."""
    lines = [json.dumps(memory(number, user)) for user in users for number in range(count)]
    ran = command("import", "-", stdin="\n".join(lines))
    assert ran.code == 0, ran.err


def memory(number: int, user: str) -> dict[str, Any]:
    """Return a memory as a line of an import says it; the embedding is given, because making it takes longest."""
    person, place = {"name": f"Person {number}", "type": "Person"}, {"name": f"Place {number % 3}", "type": "Place"}
    return {
        "id": f"m{number:04}",
        "user_id": user,
        "content": f"Person {number} lives in place {number % 3}.",
        "entities": [person, place],
        "relationships": [{"source": person["name"], "type": "LIVES_IN", "target": place["name"]}],
        "embedding": [1.0, float(number)] + [0.0] * 382,
    }


def lose(graph: Driver, user: str, *ids: str) -> None:
    """Take memories out of the graph with all they own."""
    match = "MATCH (m:DiptychMemory {user_id: $user}) WHERE m.id IN $ids "
    graph.execute_query(match + f"CALL (m) {{ {RELATED} }} DETACH DELETE m", user=user, ids=list(ids))
    graph.execute_query("MATCH (e:DiptychEntity) WHERE NOT (e)--() DELETE e")


def wipe(graph: Driver, user: str | None = None) -> None:
    """Take everything of ours out of the graph, or everything of one user."""
    graph.execute_query(OURS, user=user)


def snapshot(graph: Driver, user: str) -> list[Any]:
    """Return what a user has in the graph, each node and relationship as the server knows it."""
    query = (
        "MATCH (n:DiptychMemory|DiptychEntity {user_id: $user}) OPTIONAL MATCH (n)-[r]->() "
        "RETURN elementId(n) AS id, properties(n) AS properties, collect(elementId(r)) AS edges ORDER BY id"
    )
    return [(row["id"], row["properties"], sorted(row["edges"])) for row in graph.execute_query(query, user=user)[0]]


@contextmanager
def truth(command: Any) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Give a connection to the command's truth, to look and write behind its back."""
    where, schema = command.environment["DIPTYCH_VECTOR_URL"], command.environment["DIPTYCH_SCHEMA_NAME"]
    with psycopg.connect(where, autocommit=True, options=f"-c search_path={schema},public") as connection:
        yield connection


def forget(command: Any, user: str, *ids: str) -> None:
    """Take memories out of truth without leaving a tombstone."""
    with truth(command) as connection:
        connection.execute("DELETE FROM memories WHERE user_id = %s AND id = ANY (%s)", (user, list(ids)))


def wait_for_run(command: Any, process: subprocess.Popen[bytes], memories: int = 0) -> str:
    """Wait until the only run, that of ``process``, is under way and has written so many memories; return its id."""
    query = "SELECT id::text FROM runs WHERE coalesce((cursor ->> 'memories')::integer, 0) >= %s"
    with truth(command) as connection:
        while process.poll() is None:
            found = connection.execute(query, (memories,)).fetchall()
            if found:
                return str(found[0][0])
            connection.execute("SELECT pg_sleep(0.05)")
    out, err = process.communicate()
    message = f"the run ended before: {out.decode()} {err.decode()}"
    raise AssertionError(message)
