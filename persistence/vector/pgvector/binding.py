"""What a truth belongs to: its embedding model, and its graph."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from persistence.errors import ConfigurationError, EmbeddingMismatchError, SchemaMissingError
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.postgres.migrate import lock
from persistence.vector.pgvector import index
from persistence.vector.pgvector.connecting import Connection
from persistence.vector.pgvector.queries import Queries

_SQL = Queries("schema")
_INFO = _SQL.get("info")
#: Memories and tombstones listed by one statement.
_PAGE = 10_000


async def read_info(connection: Connection) -> StoreInfo:
    """Return what the truth says of itself."""
    row = await (await connection.execute(_INFO)).fetchone()
    if row is None:
        raise _no_row()
    store_id, version, model, dimension, floor, graph_id, database_id, indexed = row
    graph = GraphIdentity(graph_id, database_id) if graph_id is not None else None
    state = "present" if indexed else "missing" if dimension and index.indexable(dimension) else "none"
    return StoreInfo(store_id, version, model, dimension, floor, graph, state)


async def bind_model(connection: Connection, model: str, dimension: int) -> StoreInfo:
    """Record the embedding model, or compare it with the one recorded.

    Raises EmbeddingMismatchError, ConfigurationError (more dimensions than pgvector holds).
    """
    info = await read_info(connection)
    if info.dimension is None:
        if dimension > index.LARGEST:
            raise ConfigurationError(f"pgvector holds {index.LARGEST} dimensions at most, not {dimension}.")
        info = await _bind_first(connection, model, dimension)
    if (info.embedding_model, info.dimension) != (model, dimension):
        raise EmbeddingMismatchError(
            f"The vector store holds embeddings of {info.embedding_model!r} with {info.dimension} dimensions,"
            f" not of {model!r} with {dimension}."
        )
    return info


async def _bind_first(connection: Connection, model: str, dimension: int) -> StoreInfo:
    async with connection.transaction():
        await lock(connection)
        cursor = await connection.execute(_SQL.get("bind_model"), {"model": model, "dimension": dimension})
        if cursor.rowcount:
            await _shape(connection, dimension)
        return await read_info(connection)


async def _shape(connection: Connection, dimension: int) -> None:
    """Give the column its dimension, and the index that it can have."""
    await connection.execute(
        sql.SQL("ALTER TABLE memories ALTER COLUMN embedding TYPE vector({})").format(sql.Literal(dimension))
    )
    if index.indexable(dimension):
        await connection.execute(index.create(dimension, concurrently=False))


async def register_graph(
    connection: Connection, identity: GraphIdentity, former: GraphIdentity | None
) -> GraphIdentity:
    """Record the truth's graph if none is, or the one recorded still is ``former``; return the one recorded.

    A graph that was not recorded before has everything listed for it, in the same transaction.
    """
    parameters: dict[str, Any] = {
        "graph_id": identity.graph_id,
        "database_id": identity.database_id,
        "former_graph_id": former and former.graph_id,
        "former_database_id": former and former.database_id,
    }
    async with connection.transaction():
        await connection.execute(_SQL.get("lock_graph"))
        if (await connection.execute(_SQL.get("register_graph"), parameters)).rowcount and identity != former:
            await _list_everything(connection)
        row = await (await connection.execute(_SQL.get("graph"))).fetchone()
    if row is None:
        raise _no_row()
    return GraphIdentity(*row)


async def _list_everything(connection: Connection) -> None:
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = {"after_user": after[0], "after_id": after[1], "limit": _PAGE}
        row = await (await connection.execute(_SQL.get("list_everything"), page)).fetchone()
        after = (row[0], row[1]) if row else None


def _no_row() -> SchemaMissingError:
    return SchemaMissingError("The schema's own row (store_info) is gone.")
