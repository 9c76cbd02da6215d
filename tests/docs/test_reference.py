"""The reference is complete: what the code has, the pages say.

Commands, settings, metrics, routes and problems have tests of their own, beside the code that they are of.
"""

from __future__ import annotations

import re

import psycopg
import pytest

from persistence import PersistenceConfig
from persistence.records import MAX_ENTITIES, MAX_IDENTITY, MAX_RELATIONSHIPS
from persistence.text import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_VALUES,
    RESERVED_PREFIX,
    RESERVED_PROPERTIES,
    RESERVED_TYPES,
)
from sync import Event
from tests.conftest import neo4j_driver
from tests.docs.blocks import ROOT
from tests.docs.made import PAGES, errors, renewed

REFERENCE = ROOT / "docs" / "reference"
COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = %s AND table_name <> 'write_state' ORDER BY table_name, ordinal_position
"""
PROPERTIES = """
MATCH (n) WHERE n:DiptychMemory OR n:DiptychEntity OR n:DiptychStore
RETURN collect(DISTINCT labels(n)) AS labels, collect(DISTINCT keys(n)) AS keys
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_made_from_the_code_is_current(page):
    """The page is what `python -m tests.docs.made` would write now: every error, operation and public name is in it."""
    assert renewed(page) == (ROOT / page).read_text("utf-8")


def test_every_error_has_a_cause_and_a_remedy():
    """Nothing is explained that is not there, either."""
    silent = {one.__name__ for one in errors.classes() if not getattr(one, "default_hint", None)}
    assert set(errors.TOLD) == {one.__name__ for one in errors.classes()}
    assert {name for name, told in errors.TOLD.items() if "do" in told} == silent


def test_every_alert_is_listed():
    """docs/reference/json.md names every event that a webhook may be sent."""
    page = (REFERENCE / "json.md").read_text("utf-8")
    assert [event for event in Event if f"`{event.value}`" not in page] == []


def test_every_limit_of_a_memory_is_listed():
    """docs/reference/json.md says how much of each a memory may hold, as the code has it."""
    page = (REFERENCE / "json.md").read_text("utf-8")
    table = page.partition("## What a memory may hold")[2].partition("## A full export")[0]
    content = PersistenceConfig.model_fields["max_content_bytes"].default
    limits = (MAX_NAME, content, MAX_ENTITIES, MAX_RELATIONSHIPS, MAX_IDENTITY, MAX_VALUES, MAX_DEPTH)
    assert [limit for limit in limits if f"{limit:,}" not in table] == []
    names = RESERVED_TYPES | RESERVED_PROPERTIES | {RESERVED_PREFIX}
    assert [name for name in names if f"`{name}`" not in table] == []


@pytest.mark.parametrize("page", ["docs/reference/tables.md"])
def test_every_column_is_listed(page, running):
    """docs/reference/tables.md names every table of both PostgreSQL schemas, and every column under its table."""
    running.succeed("diptych status")
    truth, _, graph = (ROOT / page).read_text("utf-8").partition("## Graph in PostgreSQL")
    schema = running.environment["DIPTYCH_SCHEMA_NAME"]
    missing = [
        (name, table, column)
        for name, part in ((schema, truth), (f"{schema}_graph", graph))
        for table, column in _columns(running.environment["DIPTYCH_VECTOR_URL"], name)
        if f"`{column}`" not in _table(part, table)
    ]
    assert missing == []


def _columns(url: str, schema: str) -> list[tuple[str, str]]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(COLUMNS, [schema]).fetchall()
    assert found, f"{schema} has no tables"
    return found


def _table(part: str, name: str) -> str:
    found = re.search(rf"^\| `{name}` \|.*?(?=^$)", part, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


@pytest.mark.parametrize("page", ["docs/reference/tables.md"])
def test_every_property_of_the_graph_is_listed(page, places, running):
    """docs/reference/tables.md names every label and property that a Neo4j holds after a write and a delete."""
    neo4j = f"--graph-url {places['neo4j://…']}"
    running.succeed(f"diptych store 'Ada works at Babbage & Co.' --user ada --id a {neo4j}")
    running.succeed(f"diptych store 'Ada' --user ada --id b {neo4j} && diptych delete b --user ada --yes {neo4j}")
    with neo4j_driver(places["neo4j://…"]) as driver, driver.session() as session:
        row = session.run(PROPERTIES).single(strict=True)
    text = (ROOT / page).read_text("utf-8").partition("## Graph in Neo4j")[2]
    labels = {label for labels in row["labels"] for label in labels} - {"Person", "Organization"}
    assert {label for label in labels if f":{label}" not in text} == set()
    assert {key for keys in row["keys"] for key in keys if f"`{key}`" not in text} == set()
