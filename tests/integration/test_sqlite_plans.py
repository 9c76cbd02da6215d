"""The plans: a call is served by an index, and a tenant's call reads that tenant's rows alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from persistence.filters import Filter, make_filter
from persistence.vector.sqlite import SqliteStore, checking, inconsistencies, outbox, reads, runs, search, writes
from persistence.vector.sqlite.conditions import Conditions
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write

NOTHING = Conditions(Filter())
SOME = Conditions(make_filter(agent_id="x", filters={"a.b": {"gt": 5}, "c": {"in": [1, "x"]}}))

#: Queries of one tenant, and the index that each goes by.
OF_A_TENANT = {
    "page": (reads._SQL.get("page", where=NOTHING.sql), "m USING INDEX memories_key (user_id=? AND id>?)"),
    "filtered page": (reads._SQL.get("page", where=SOME.sql), "m USING INDEX memories_key (user_id=? AND id>?)"),
    "count": (reads._COUNT, "memories USING COVERING INDEX"),
    "changed memories": (reads._CHANGED_MEMORIES, "m USING INDEX memories_changed (user_id=? AND number>?)"),
    "changed tombstones": (
        reads._CHANGED_TOMBSTONES,
        "tombstones USING COVERING INDEX tombstones_changed (user_id=? AND number>?)",
    ),
    "size": (search._SIZE, "memories USING COVERING INDEX"),
    "embeddings": (search._EMBEDDINGS, "m USING COVERING INDEX memories_changed (user_id=? AND number>?)"),
    "filter": (search._SQL.get("numbers", where=SOME.sql), "(user_id=?)"),
    "bucket sums": (
        checking._SUMS[True],
        "m USING COVERING INDEX memories_check (user_id=? AND bucket>? AND bucket<?)",
    ),
    "bucket rows": (
        checking._ROWS[True],
        "m USING COVERING INDEX memories_check (user_id=? AND bucket>? AND bucket<?)",
    ),
    "walk": (checking._WALK[True], "m USING INDEX memories_key (user_id=? AND id>?)"),
    "outbox page": (outbox._PAGE_TENANT, "o USING PRIMARY KEY (user_id=? AND id>?)"),
    "outbox stats": (outbox._STATS_TENANT, "outbox USING PRIMARY KEY (user_id=?)"),
    "runs": (runs._LIST[True], "r USING INDEX runs_tenant (user_id=? AND kind=? AND state=? AND id<?)"),
    "inconsistencies": (
        inconsistencies._LIST[True],
        "i USING INDEX inconsistencies_tenant (user_id=? AND kind=? AND open=? AND number>?)",
    ),
    "open inconsistencies": (
        inconsistencies._COUNT_OPEN[True],
        "inconsistencies USING INDEX inconsistencies_tenant (user_id=? AND kind=? AND open=?)",
    ),
    "unseen": (inconsistencies._OPEN_PAGE[True], "inconsistencies_open (user_id=? AND (memory_id,kind"),
}
OF_ALL = {
    "bucket sums": (checking._SUMS[False], "m USING COVERING INDEX memories_check_all (bucket>? AND bucket<?)"),
    "bucket rows": (checking._ROWS[False], "m USING INDEX memories_check_all (bucket>? AND bucket<?)"),
    "walk": (checking._WALK[False], "m USING INDEX memories_key ((user_id,id)>(?,?))"),
    "outbox page": (outbox._PAGE, "o USING PRIMARY KEY ((user_id,id)>(?,?))"),
    "due": (outbox._DUE, "outbox USING INDEX outbox_due (due_at<?)"),
    "next due": (outbox._NEXT_DUE, "outbox USING INDEX outbox_due"),
    "tombstones due": (outbox._TOMBSTONES_DUE, "t USING INDEX tombstones_deleted_at (deleted_at<?)"),
    "revive all": (outbox._REVIVE_ALL, "outbox USING INDEX outbox_dead"),
    "what is found of a key": (writes._FOUND, "m USING INDEX memories_key (user_id=? AND id=?)"),
    "how a key stands": (checking._STANDING, "m USING INDEX memories_key (user_id=? AND id=?)"),
    "runs": (runs._LIST[False], "r USING INDEX runs_all (kind=? AND state=? AND id<?)"),
    "last done": (runs._LAST_DONE, "r USING INDEX runs_done (kind=? AND depth=?)"),
    "inconsistencies": (
        inconsistencies._LIST[False],
        "i USING INDEX inconsistencies_all (kind=? AND open=? AND number>?)",
    ),
}
#: Values for every name that a query takes.
VALUES: dict[str, Any] = {
    **dict.fromkeys(("user_id", "id", "after", "after_user", "after_id", "after_memory", "after_kind"), "x"),
    **dict.fromkeys(("after_type", "after_key", "kind", "state", "depth", "before"), "x"),
    **dict.fromkeys(("limit", "bound", "low", "high", "shift", "embeddings", "dead", "now", "open"), 1),
    "ids": '["x"]',
}
#: What sorts no more than the groups it answers with, or the keys it is given.
SORTED = ("bucket sums", "what is found")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Return a store with a large tenant and many small ones, in the outbox too."""
    store = SqliteStore(tmp_path / "truth.db")
    try:
        await store.open(model="test", dimension=DIMENSION)
        users = ["ada"] * 400 + [f"user {i}" for i in range(200)]
        await store.write_many([a_write(f"{i}", user) for i, user in enumerate(users)], AT_ONCE)
        yield store
    finally:
        await store.close()


async def plan(store: SqliteStore, query: str) -> str:
    values = {**VALUES, **SOME.parameters}
    rows = await store._sessions.read(lambda session: session.rows(f"EXPLAIN QUERY PLAN {query}", values))
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("analysed", [False, True])
async def test_plans(store: SqliteStore, analysed: bool) -> None:  # noqa: FBT001
    """Each query goes by its index, scans no table and sorts nothing, whether SQLite knows the tables' sizes or not."""
    if analysed:
        await store._sessions.write(lambda session: session.execute("ANALYZE"))
    for name, (query, index) in (OF_A_TENANT | {f"{name} of all": case for name, case in OF_ALL.items()}).items():
        found = await plan(store, query)
        assert index in found, f"{name}:\n{found}"
        for table in ("memories", "m", "e", "outbox", "o", "tombstones", "t", "runs", "r", "inconsistencies", "i"):
            assert f"SCAN {table}\n" not in f"{found}\n", f"{name}:\n{found}"
        if not name.startswith(SORTED):
            assert "TEMP B-TREE" not in found, f"{name}:\n{found}"


@pytest.mark.parametrize("name", OF_A_TENANT)
async def test_no_row_of_another_tenant(store: SqliteStore, name: str) -> None:
    """Every index that a tenant's query goes by is entered at that tenant."""
    found = await plan(store, OF_A_TENANT[name][0])
    for table in ("memories", "m", "outbox", "o", "tombstones", "runs", "r", "inconsistencies", "i"):
        for line in found.splitlines():
            if line.startswith(f"SEARCH {table} "):
                assert "(user_id=?" in line, found
