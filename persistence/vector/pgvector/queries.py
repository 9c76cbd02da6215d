"""The queries of this package, and the columns that they have in common."""

from __future__ import annotations

from functools import partial

from psycopg import sql

from persistence import sqlfiles
from persistence.postgres import queries

#: The columns of a memory in the order of rows.to_memory.
_NAMES = (
    "id", "user_id", "agent_id", "run_id", "content", "metadata", "entities", "relationships", "extracted",
    "embedding", "version", "digest", "created_at", "updated_at",
)  # fmt: skip
MEMORY_WIDTH = len(_NAMES)
#: All of a memory; all but its embedding; all of the memory that a write replaced.
MEMORY = sql.SQL(", ").join(sql.Identifier("m", name) for name in _NAMES)
MEMORY_LIGHT = sql.SQL(", ").join(
    sql.SQL("NULL::vector") if name == "embedding" else sql.Identifier("m", name) for name in _NAMES
)
FORMER = sql.SQL(", ").join(sql.SQL("(w.former).{}").format(sql.Identifier(name)) for name in _NAMES)
#: The columns of an outbox entry in the order of rows.to_entry.
ENTRY = sql.SQL(
    "o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim,"
    " o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced"
)

#: The queries of one of this package's files, and the steps of its schema.
Queries = partial(queries.Queries, __package__)
migrations = partial(sqlfiles.migrations, __package__)
