"""Which backends are recommended: by size, speed, processes, durability, and what is there."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydantic import SecretStr

import persistence
from persistence.choosing import Facts, Server
from persistence.choosing.figures import CONNECTIONS
from persistence.errors import InvalidInputError
from persistence.settings import PersistenceConfig

ALL = frozenset({"pgvector", "embedded", "neo4j"})
POSTGRES = Server(kind="postgres", url=SecretStr("postgresql://ada:hunter2@db/app"), origin="DATABASE_URL")
NEO4J = Server(kind="neo4j", url=SecretStr("neo4j://neo4j:hunter2@graph"), origin="NEO4J_URI")
DOWN = POSTGRES.model_copy(update={"answers": False})
THERE = Facts(installed=ALL, ram_bytes=16_000_000_000, home=Path("/home/ada"))


@pytest.mark.parametrize(
    ("wanted", "pair"),
    [
        ({}, ("sqlite", "file")),
        ({"processes": 2}, ("sqlite", "embedded")),
        ({"durable": False}, ("memory", "memory")),
        ({"durable": False, "processes": 2}, ("sqlite", "embedded")),
        ({"durable": False, "memories": 100_000}, ("sqlite", "file")),
        ({"memories": 1_000_000}, ("embedded", "embedded")),
        ({"memories": 200_000, "queries_per_second": 50}, ("embedded", "embedded")),
        ({"writes_per_second": 2_000}, ("embedded", "embedded")),
        ({"memories": 200_000, "ram_bytes": 500_000_000}, ("embedded", "embedded")),
        ({"servers": [POSTGRES]}, ("pgvector", "postgresql")),
        ({"servers": [POSTGRES, NEO4J]}, ("pgvector", "neo4j")),
        ({"servers": [NEO4J]}, ("sqlite", "neo4j")),
        ({"servers": [DOWN]}, ("sqlite", "file")),
        ({"servers": [DOWN], "memories": 10**6}, ("embedded", "embedded")),
        ({"servers": [DOWN, POSTGRES]}, ("pgvector", "postgresql")),
        ({"servers": [POSTGRES], "installed": []}, ("sqlite", "file")),
        ({"memories": 10**6, "installed": []}, ("embedded", "embedded")),
    ],
)
def test_the_pair_that_does_it(wanted, pair):
    """The first in the order of preference that does what is wanted, and is there, is recommended."""
    found = persistence.recommend(THERE, **wanted)
    assert (found.vector.name, found.graph.name) == pair


def test_every_wish_has_an_answer():
    """Whatever is wanted and whatever is there, a pair is recommended, with its reasons and its URLs."""
    for memories, dimension, rate, processes, durable, installed in itertools.product(
        (0, 10**4, 10**9), (1, 16_000), (0, 10**6), (1, 1_000), (False, True), (frozenset(), ALL)
    ):
        wanted = {"memories": memories, "dimension": dimension, "processes": processes, "durable": durable}
        found = persistence.recommend(queries_per_second=rate, writes_per_second=rate, installed=installed, **wanted)
        assert found.vector.reasons
        assert found.graph.reasons
        assert set(found.settings) >= {"DIPTYCH_VECTOR_URL", "DIPTYCH_GRAPH_URL"}
        PersistenceConfig(**{name.removeprefix("DIPTYCH_").lower(): value for name, value in found.settings.items()})
        assert not {one.name for one in found.instead_of_vector} & {found.vector.name}


def test_the_figures_are_in_the_sentences():
    """A reason names the number that decides, and so does what speaks against the others."""
    small = persistence.recommend(THERE, memories=20_000)
    assert "An exact search of 20,000 memories of 384 dimensions takes about 8.0 ms." in small.vector.reasons
    large = persistence.recommend(THERE, memories=1_000_000)
    against = {one.name: " ".join(one.objections) for one in large.instead_of_vector}
    assert "about 400 ms a search, more than 100" in against["sqlite"]
    busy = persistence.recommend(THERE, writes_per_second=2_000)
    against = {one.name: " ".join(one.objections) for one in busy.instead_of_vector}
    assert "2,000 a second would take 120% of its time" in against["sqlite"]


def test_what_is_missing_is_said():
    """Where nothing that is there will do, what has to be installed or started comes with the answer."""
    found = persistence.recommend(memories=10**6)
    assert found.to_do == ('pip install "diptych[embedded]"',)
    found = persistence.recommend(memories=10**6, servers=[DOWN])
    assert found.to_do == (
        'pip install "diptych[pgvector]"',
        "start the postgres server (DATABASE_URL), which does not answer",
    )


def test_the_settings():
    """Settings are environment variables, passwords masked; what is the default is left out, the URLs apart."""
    found = persistence.recommend(THERE, servers=[POSTGRES, NEO4J], dimension=1_024, processes=20)
    assert found.settings == {
        "DIPTYCH_VECTOR_URL": "postgresql://ada:***@db/app",
        "DIPTYCH_GRAPH_URL": "neo4j://neo4j:***@graph",
        "DIPTYCH_EMBEDDING_DIMENSION": "1024",
        "DIPTYCH_POOL_SIZE": str(CONNECTIONS // 40),
    }
    assert "hunter2" not in repr(found)
    found = persistence.recommend(THERE, memories=240_000)
    assert found.settings == {
        "DIPTYCH_VECTOR_URL": "sqlite:////home/ada/truth.db",
        "DIPTYCH_GRAPH_URL": "file:///home/ada/graph",
        "DIPTYCH_SQLITE_CACHE_MB": "406",
    }


@pytest.mark.parametrize("wanted", [{"memories": -1}, {"processes": 0}, {"dimension": 0}, {"durability": True}])
def test_wishes_that_are_none(wanted):
    """What makes no sense is refused by name."""
    with pytest.raises(InvalidInputError):
        persistence.recommend(**wanted)
