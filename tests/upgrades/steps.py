"""Steps of a release that does not exist, behind those of today."""

from __future__ import annotations

from pathlib import Path

from persistence.graph.postgres.session import migrations as of_graphs
from persistence.sqlfiles import Migration, steps_in
from persistence.vector.pgvector.queries import migrations as of_pgvector
from persistence.vector.sqlite.queries import migrations as of_sqlite

HERE = Path(__file__).parent
TODAY = {"pgvector": of_pgvector, "sqlite": of_sqlite, "postgres_graph": of_graphs}


def following(kind: str) -> list[Migration]:
    """Return today's steps and the next ones."""
    return [*TODAY[kind](), *steps_in(HERE / "next" / kind)]


def today(kind: str) -> int:
    """Return the version of today's tables."""
    return TODAY[kind]()[-1].version
