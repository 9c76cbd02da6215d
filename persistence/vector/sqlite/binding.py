"""What a truth belongs to: its embedding model, and its graph."""

from __future__ import annotations

from uuid import UUID

from persistence.errors import EmbeddingMismatchError
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.sqlite.queries import Queries
from persistence.vector.sqlite.session import Session

_SQL = Queries("schema")
_INFO = _SQL.get("info")
_BIND_MODEL = _SQL.get("bind_model")
_REGISTER_GRAPH, _GRAPH = _SQL.get("register_graph"), _SQL.get("graph")
_LIST_EVERYTHING = _SQL.get("list_everything")


def read_info(session: Session) -> StoreInfo:
    """Return what the truth says of itself."""
    store_id, version, model, dimension, floor, graph_id, database_id = session.one(_INFO)
    graph = None if graph_id is None else GraphIdentity(UUID(graph_id), database_id)
    return StoreInfo(UUID(store_id), version, model, dimension, floor, graph, "none")


def bind_model(session: Session, model: str, dimension: int) -> StoreInfo:
    """Record the embedding model, or compare it with the one recorded. Raises EmbeddingMismatchError."""
    session.execute(_BIND_MODEL, {"model": model, "dimension": dimension})
    info = read_info(session)
    if (info.embedding_model, info.dimension) != (model, dimension):
        raise EmbeddingMismatchError(
            f"The vector store holds embeddings of {info.embedding_model!r} with {info.dimension} dimensions,"
            f" not of {model!r} with {dimension}."
        )
    return info


def register_graph(session: Session, identity: GraphIdentity, former: GraphIdentity | None, now: int) -> GraphIdentity:
    """Record the truth's graph if none is, or the one recorded still is ``former``; return the one recorded.

    A graph that was not recorded before has everything listed for it, in the same transaction.
    """
    parameters = {
        "graph_id": str(identity.graph_id),
        "database_id": identity.database_id,
        "former_graph_id": former and str(former.graph_id),
        "former_database_id": former and former.database_id,
    }
    if session.changed(_REGISTER_GRAPH, parameters) and identity != former:
        session.execute(_LIST_EVERYTHING, {"now": now})
    graph_id, database_id = session.one(_GRAPH)
    return GraphIdentity(UUID(graph_id), database_id)
