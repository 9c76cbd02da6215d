"""The queries: texts from the .sql files of this package; ``{braces}`` are filled with other texts of ours."""

from __future__ import annotations

from persistence import sqlfiles

#: The columns of a memory in the order of rows.to_memory; null for an embedding that was not asked for.
_NAMES = (
    "id", "user_id", "agent_id", "run_id", "content", "metadata", "entities", "relationships", "extracted",
    "embedding", "version", "digest", "created_at", "updated_at",
)  # fmt: skip
MEMORY_WIDTH = len(_NAMES)
MEMORY = ", ".join(f"{'e' if name == 'embedding' else 'm'}.{name}" for name in _NAMES)
#: The columns of an outbox entry in the order of rows.to_entry. Of a row that is being changed they are named bare.
ENTRY = (
    "user_id, id, entry_id, version, attempts, created_at, due_at, claim, dead_at IS NOT NULL, disabled, reason, forced"
)
#: The columns of a run in the order of runs.to_run.
RUN = (
    "id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at,"
    " finished_at, expires_at"
)
#: The columns of a record in the order of inconsistencies.to_recorded.
RECORDED = (
    "number, user_id, memory_id, kind, depth, vector_version, graph_version, entity_type, entity_key, reason, run_id,"
    " first_seen, last_seen, resolved_at, resolved_by"
)
#: The number of the newest change. A memory removed by hand leaves its embedding, and so its number stays used.
_NEWEST = (
    "max(forgotten, coalesce((SELECT max(number) FROM memories), 0), coalesce((SELECT max(number) FROM tombstones), 0),"
    " coalesce((SELECT max(number) FROM embeddings), 0))"
)
_COLUMNS = {"newest": _NEWEST, "memory": MEMORY, "entry": ENTRY, "run": RUN, "recorded": RECORDED}


class Queries:
    """The queries of one file."""

    def __init__(self, subject: str) -> None:
        self._texts = {name: fill(text, **_COLUMNS) for name, text in sqlfiles.queries(__package__, subject).items()}

    def get(self, name: str, **parts: str) -> str:
        """Return a query, its braces filled with texts of ours; what a caller gives is always a parameter."""
        return fill(self._texts[name], **parts)


def fill(text: str, **parts: str) -> str:
    """Put texts into their braces."""
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def migrations() -> list[sqlfiles.Migration]:
    """Return the migrations in the order of their versions; the last one's is the version this code knows."""
    return sqlfiles.migrations(__package__)
