"""What the command line prints and the API answers, as JSON: times in RFC 3339, units in names, nulls for gaps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from persistence.ports.graph import GraphEdge, GraphEntity, GraphMemory
from persistence.ports.outbox import OutboxEntry
from persistence.ports.runs import Run, RunState
from persistence.records import Memory
from persistence.results import (
    Count,
    DeleteAllResult,
    HealthCheck,
    OutboxStats,
    Page,
    PersistenceResult,
    SearchHit,
    SearchResult,
    Stats,
    StoreHealth,
)
from sync import Depth, DriftPoint, SyncStats
from sync.reports import drift_json, run_json

Json = dict[str, Any]


def time_text(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def rounded(value: float | None, digits: int = 3) -> float | None:
    """Return a measured number without the digits that mean nothing."""
    return None if value is None else round(value, digits)


def memory_json(memory: Memory) -> Json:
    """Return a memory without its embedding. The digest is text: not every reader of JSON keeps 63 bits of a number."""
    return {
        "id": memory.id,
        "user_id": memory.user_id,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "content": memory.content,
        "metadata": memory.metadata,
        "entities": [entity.model_dump() for entity in memory.entities],
        "relationships": [relation.model_dump(exclude_none=True) for relation in memory.relationships],
        "extracted": memory.extracted,
        "version": memory.version,
        "digest": str(memory.digest),
        "created_at": time_text(memory.created_at),
        "updated_at": time_text(memory.updated_at),
    }


def result_json(result: PersistenceResult, status: str) -> Json:
    """Return what became of one write."""
    return {
        "status": status,
        "id": result.id,
        "user_id": result.user_id,
        "outcome": result.outcome.value,
        "version": result.version,
        "vector": result.vector.value,
        "graph": result.graph.value,
        "error": result.error,
        "duration_ms": rounded(result.duration_ms),
        "memory": memory_json(result.memory) if result.memory else None,
    }


def deleted_all_json(user_id: str, done: DeleteAllResult) -> Json:
    """Return what became of the delete of all memories of a tenant."""
    return {
        "status": "deleted" if done.deleted else "already_deleted",
        "user_id": user_id,
        "deleted": done.deleted,
        "pending": done.pending,
        "duration_ms": rounded(done.duration_ms),
    }


def page_json(page: Page) -> Json:
    """Return one page of memories, and what goes into ``--after`` for the next."""
    return {"memories": [memory_json(memory) for memory in page.memories], "next": page.next}


def search_json(result: SearchResult) -> Json:
    """Return hits, best first."""
    return {"hits": [hit_json(hit) for hit in result], "degraded": result.degraded}


def hit_json(hit: SearchHit) -> Json:
    """Return one hit; ``score`` is null where it was reached through the graph."""
    via = [{"entity": link.entity, "type": link.type} for link in hit.via]
    return {"score": rounded(hit.score, 6), "distance": hit.distance, "via": via, "memory": memory_json(hit.memory)}


def graph_json(graph: GraphMemory | None) -> Json | None:
    """Return what the graph holds of one memory."""
    if graph is None:
        return None
    return {
        "live": graph.live,
        "version": graph.version,
        "entities": [{"name": e.name, "type": e.type, "properties": dict(e.properties)} for e in graph.entities],
        "relationships": [_edge_json(edge) for edge in graph.edges],
    }


def store_json(store: StoreHealth) -> Json:
    """Return the health of one store."""
    return {
        "status": store.status.value,
        "available": store.latency_ms is not None,
        "kind": store.kind,
        "version": store.version,
        "latency_ms": rounded(store.latency_ms),
        "error": store.error,
    }


def outbox_json(outbox: OutboxStats | None) -> Json | None:
    """Return how much is in doubt."""
    if outbox is None:
        return None
    return {
        "pending": outbox.pending,
        "dead": outbox.dead,
        "oldest_age_s": rounded(outbox.oldest_age_s),
        "disabled": outbox.disabled,
        "exact": outbox.exact,
    }


def count_json(count: Count) -> Json:
    """Return a number of memories; a lower bound or an estimate where it is not exact."""
    return {"value": count.value, "exact": count.exact}


def status_json(health: HealthCheck, stats: Stats, sync: SyncStats | None) -> Json:
    """Return the state of both stores and of what lies between them; ``sync`` None: it could not be read."""
    return {
        "status": health.status.value,
        "stores": {"vector": store_json(health.vector), "graph": store_json(health.graph)},
        "outbox": outbox_json(health.outbox),
        "counts": {"vector": count_json(stats.vector), "graph": count_json(stats.graph)},
        "breaker": health.breaker,
        "last_check": last_check_json(sync.last_checks) if sync else None,
        "checked_at": time_text(health.checked_at),
    }


def last_check_json(last: Mapping[Depth, DriftPoint]) -> Json | None:
    """Return the newest finished check of each depth, null where there is none; null as a whole until one was made."""
    return {depth.value: drift_json(last[depth]) if depth in last else None for depth in Depth} if last else None


def entry_json(entry: OutboxEntry) -> Json:
    """Return one memory whose graph copy is in doubt."""
    return {
        "id": entry.id,
        "user_id": entry.user_id,
        "version": entry.version,
        "attempts": entry.attempts,
        "reason": entry.reason,
        "created_at": time_text(entry.created_at),
        "due_at": time_text(entry.due_at),
        "dead": entry.dead,
    }


def cancelled_json(before: Run, run: Run) -> Json:
    """Return a run that was asked to stop; ``status`` says what the asking did."""
    return {"status": _cancelled(before, run), **run_json(run)}


def _cancelled(before: Run, run: Run) -> str:
    if run.state is RunState.RUNNING:
        return "already_requested" if before.cancel_requested else "requested"
    ended = before.state not in {RunState.RUNNING, RunState.INTERRUPTED}
    return f"already_{run.state.value}" if ended else run.state.value


def node_json(node: GraphEntity) -> Json:
    """Return an entity of the graph."""
    return {"type": node.type, "key": node.key, "name": node.name}


def edge_json(edge: GraphEdge) -> Json:
    """Return a relationship of the graph."""
    return {**_edge_json(edge), "memory_id": edge.memory_id}


def _edge_json(edge: GraphEdge) -> Json:
    return {
        "source": _end_json(edge.source),
        "type": edge.type,
        "target": _end_json(edge.target),
        "properties": dict(edge.properties),
    }


def _end_json(end: tuple[str, str]) -> Json:
    return {"type": end[0], "key": end[1]}
