"""The graphs that could be chosen beside a truth. A new one is one more function, in its place in ``GRAPHS``."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import SecretStr

from persistence.choosing import figures as f
from persistence.choosing.facts import Facts
from persistence.choosing.options import Option, alone, install, start, too_large
from persistence.urls import EMBEDDED, MEMORY


def beside_memory(facts: Facts, truth: Option) -> Option:
    """In memory, where truth is."""
    reasons = ("Truth is in this process's memory, and nothing is to last longer.",)
    objections = () if truth.name == "memory" else ("It is made anew from truth by each process: no independent copy.",)
    size = too_large("Both are all", f.truth_bytes(facts) + f.graph_bytes(facts), facts)
    return Option("memory", SecretStr(MEMORY), reasons, (*objections, *size))


def neo4j(facts: Facts, truth: Option) -> Option:  # noqa: ARG001  # how an option is asked for
    """On a Neo4j server that is known."""
    server = facts.server("neo4j")
    if server is None:
        return Option("neo4j", SecretStr("neo4j://"), objections=("No Neo4j server is known.",))
    reasons = (f"A Neo4j is there ({server.origin}): made for walks, and people can look at the graph in its browser.",)
    return Option("neo4j", server.url, reasons, to_do=(*install("neo4j", facts), *start(server)))


def postgres(facts: Facts, truth: Option) -> Option:
    """On the PostgreSQL server that has truth, or on another that is known."""
    server = facts.server("postgres")
    if server is None:
        return Option("postgresql", SecretStr("postgresql://"), objections=("No PostgreSQL server is known.",))
    where = "beside truth, in a schema of its own" if truth.name == "pgvector" else f"there ({server.origin})"
    to_do = (*install("pgvector", facts), *start(server))
    return Option("postgresql", server.url, (f"A PostgreSQL is {where}; every process shares the graph.",), to_do=to_do)


def file(facts: Facts, truth: Option) -> Option:
    """In files that are read into memory as a whole."""
    served = truth.name in {"pgvector", "embedded"}
    objections = ("Truth is on a server, which can have the graph, too, for every process.",) if served else ()
    reasons = (f"It is in files and needs no server; it takes about {f.graph_bytes(facts) / f.MB:,.0f} MB of memory.",)
    folder = SecretStr((facts.home.expanduser().absolute() / "graph").as_uri())
    return Option(
        "file", folder, reasons, (*objections, *alone(facts), *too_large("It is all", f.graph_bytes(facts), facts))
    )


def embedded(facts: Facts, truth: Option) -> Option:
    """On the PostgreSQL that diptych brings and starts."""
    where = "It is a database of its own beside truth" if truth.name == "embedded" else "Diptych starts it here"
    reasons = (f"{where}: it outlives the process, and every process shares it.",)
    return Option("embedded", SecretStr(EMBEDDED), reasons, to_do=tuple(install("embedded", facts)))


#: In order of preference: the first without objections that is there is chosen.
GRAPHS: tuple[Callable[[Facts, Option], Option], ...] = (beside_memory, neo4j, postgres, file, embedded)
