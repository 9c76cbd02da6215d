"""`schema plan|apply|revert|status`: the tables' steps by hand, on a real truth."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence.vector.pgvector.queries import migrations

NEWEST = migrations()[-1].version


@pytest.fixture
def made(diptych: Any) -> Any:
    """Give the command on a truth with today's tables."""
    assert diptych("schema", "apply", "--phase", "pre").code == 0
    return diptych


def versions(steps: list[dict[str, Any]]) -> list[int]:
    return [step["version"] for step in steps]


def test_tables_are_planned_and_made(diptych: Any) -> None:
    """Before the tables are there the plan is all of them; `apply` makes them, and repeated does nothing."""
    planned = diptych("schema", "plan", "--json").json["truth"]
    assert versions(planned) == list(range(1, NEWEST + 1))
    assert planned[0] == {"version": 1, "name": "tables", "phase": "pre"}
    assert "Try: diptych schema apply --phase pre" in diptych("schema", "plan").err
    applied = diptych("schema", "apply", "--phase", "pre", "--json")
    assert (applied.code, applied.json["truth"]) == (0, planned)
    again = diptych("schema", "apply", "--phase", "pre")
    assert (again.code, again.out) == (0, "nothing was to be applied\n")
    assert "Nothing is to be applied." in diptych("schema", "plan").err
    status = diptych("schema", "status", "--json").json
    assert (status["current"], status["usable"], status["pending"], status["graph"]) == (True, True, [], None)


def test_back_and_forth(made: Any) -> None:
    """Steps are taken back by version, asked for; what lacks them is not usable until they are applied again."""
    assert made("store", "kept", "--user", "ada", "--id", "m1").code == 0
    refused = made("schema", "revert", "--to", "4")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    reverted = made("schema", "revert", "--to", "4", "--yes", "--json")
    assert (reverted.code, versions(reverted.json["truth"])) == (0, [6, 5])
    status = made("schema", "status", "--json")
    assert (status.code, status.json["usable"], versions(status.json["pending"])) == (2, False, [5, 6])
    other = made("schema", "apply", "--phase", "post")
    assert (other.code, other.out) == (0, "nothing was to be applied\n")
    assert made("schema", "apply", "--phase", "pre").code == 0
    assert "kept" in made("get", "m1", "--user", "ada").out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--to", "2"), "no way back from the step 4"),
        (("--to", "99"), "cannot go back to 99"),
        (("--to", "4", "--store", "graph"), "no tables of ours"),
    ],
    ids=["one-way", "forward", "no-graph"],
)
def test_what_cannot_be_taken_back(made: Any, args: tuple[str, ...], said: str) -> None:
    """What has no way back is one sentence, and nothing is changed."""
    ran = made("schema", "revert", *args, "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert made("schema", "status", "--json").json["current"]


@pytest.mark.parametrize(("phase", "code"), [("pre", 0), ("post", 2)])
def test_tables_that_are_ahead(made: Any, postgres_url: str, pg_schema: str, phase: str, code: int) -> None:
    """Tables to which a newer diptych has only added are used; after it has taken something away they are refused."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        query = "INSERT INTO {}.schema_migrations (version, name, phase) VALUES (99, 'later', %s)"
        connection.execute(sql.SQL(query).format(sql.Identifier(pg_schema)), (phase,))
    status = made("schema", "status", "--json")
    assert (status.code, status.json["usable"], versions(status.json["newer"])) == (code, code == 0, [99])
    assert made("store", "x", "--user", "ada").code == code
    assert made("doctor").code == code


def test_the_graphs_tables(diptych: Any, postgres_url: str, pg_schema: str) -> None:
    """A graph on PostgreSQL has steps of its own, planned, applied and taken back by the same commands."""
    diptych.environment |= {"DIPTYCH_GRAPH_URL": postgres_url}
    try:
        assert diptych("schema", "upgrade").code == 0
        status = diptych("schema", "status", "--json")
        assert (status.code, status.json["graph"]["current"]) == (0, True)
        back = diptych("schema", "revert", "--to", "2", "--store", "graph", "--yes", "--json")
        assert versions(back.json["graph"]) == [3]
        assert diptych("schema", "status").code == 2
        assert versions(diptych("schema", "apply", "--phase", "pre", "--json").json["graph"]) == [3]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            name = sql.Identifier(f"{pg_schema}_graph")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
