"""The rules of the design with a SQLite file as truth, and the graph in a real Neo4j: the same tests as on Postgres.

I1 is in tests/integration: test_sqlite_processes.py kills writers, and test_sqlite_file.py looks at what is flushed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from persistence.vector.sqlite import SqliteStore, path_of
from tests.faults import test_invariants_graph as graph
from tests.faults import test_invariants_truth as truth
from tests.faults import test_tenants as tenants
from tests.faults.stores import Stores


@dataclass(frozen=True)
class SqliteStores(Stores):
    """A SQLite file and a real Neo4j under one roof; ``postgres`` is the URL of the file."""

    def vector(self, *, pool_size: int = 4) -> Any:
        """Return an adapter on the truth, not opened."""
        return SqliteStore(path_of(self.postgres), readers=pool_size)

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one SQL statement over a connection of its own."""
        return await anyio.to_thread.run_sync(self._rows, query, parameters)

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(path_of(self.postgres), isolation_level=None)) as connection:
            # What Postgres calls so, the tests' statements do.
            connection.create_function("clock_timestamp", 0, lambda: time.time_ns() // 1_000)
            cursor = connection.execute(query.replace("%s", "?"), parameters)
            names = [column[0] for column in cursor.description or ()]
            return [_row(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    documents = {name: json.loads(row[name]) for name in ("entities", "relationships") if name in row}
    return {**row, **documents}


@pytest.fixture
def stores(tmp_path: Path, clean_neo4j: str) -> Stores:
    """Return a truth in a file of the test's own, and a graph with nothing of ours in it."""
    return SqliteStores(f"sqlite:///{tmp_path / 'truth.db'}", "diptych", clean_neo4j)


test_i2_truth_and_its_entry_are_one_write = truth.test_i2_truth_and_its_entry_are_one_write
test_i2_a_late_settlement = truth.test_i2_a_late_settlement_leaves_the_entry_of_a_newer_write
test_i3_a_stale_writer_changes_nothing = graph.test_i3_a_stale_writer_changes_nothing
test_i3_a_stale_writer_of_the_service_is_told = graph.test_i3_a_stale_writer_of_the_service_is_told
test_i4_applying_again_changes_nothing = graph.test_i4_applying_again_changes_nothing
test_i5_deleted_stays_deleted = graph.test_i5_deleted_stays_deleted_and_stored_again_is_live
test_i5_deletes_and_stores_at_once = graph.test_i5_deletes_and_stores_of_one_memory_at_once
test_i6_what_truth_cannot_say = truth.test_i6_what_truth_cannot_say_is_no_empty_answer
test_i7_a_lost_acknowledgement_is_looked_into = truth.test_i7_a_lost_acknowledgement_is_looked_into
test_i7_an_outcome_that_stays_unknown = truth.test_i7_an_outcome_that_stays_unknown_is_said_and_not_forgotten
test_i9_the_same_id_under_two_tenants = tenants.test_i9_the_same_id_under_two_tenants_is_two_memories
