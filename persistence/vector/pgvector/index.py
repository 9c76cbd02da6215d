"""The vector index: which one a dimension can have, and how it is dropped and built."""

from __future__ import annotations

from psycopg import errors, sql

from persistence.vector.pgvector.connecting import Connection
from persistence.vector.pgvector.queries import Queries

#: Dimensions up to which pgvector indexes floats, and halved floats; beyond, search looks at every row of the tenant.
VECTOR_LIMIT = 2_000
HALF_LIMIT = 4_000
#: The most dimensions that the type `vector` holds.
LARGEST = 16_000

_NAME = "memories_embedding"
_SQL = Queries("load")


def indexable(dimension: int) -> bool:
    """Say whether embeddings of this dimension can have an index."""
    return dimension <= HALF_LIMIT


def create(dimension: int, *, concurrently: bool) -> sql.Composed:
    """Return the statement that makes the index."""
    if dimension <= VECTOR_LIMIT:
        column: sql.Composable = sql.SQL("embedding vector_cosine_ops")
    else:
        column = sql.SQL("(embedding::halfvec({})) halfvec_cosine_ops").format(sql.Literal(dimension))
    return sql.SQL("CREATE INDEX {} {} ON memories USING hnsw ({})").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""), sql.Identifier(_NAME), column
    )


async def drop(connection: Connection) -> None:
    """Drop every vector index, those included that a build left behind when it died."""
    for (name,) in await (await connection.execute(_SQL.get("vector_indexes"))).fetchall():
        await connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name)))


async def build(connection: Connection, dimension: int, memory_mb: int) -> None:
    """Build the index while others read and write."""
    row = await (await connection.execute(_SQL.get("count_memories"))).fetchone()
    memory = _memory_kb(int(row[0]) if row else 0, dimension, memory_mb)
    await _settings(connection, memory, workers=2)
    try:
        await _rebuild(connection, dimension)
    except (errors.DiskFull, errors.OutOfMemory):
        # Workers share the memory of the build, and many containers have little to share (/dev/shm): do without.
        await _settings(connection, memory, workers=0)
        await _rebuild(connection, dimension)


async def _rebuild(connection: Connection, dimension: int) -> None:
    await drop(connection)
    await connection.execute(create(dimension, concurrently=True))


async def _settings(connection: Connection, memory: int, *, workers: int) -> None:
    await connection.execute(_SQL.get("build_settings"), {"memory": str(memory), "workers": str(workers)})


def _memory_kb(rows: int, dimension: int, most_mb: int) -> int:
    """Return what holds the whole graph while it is built (vectors and links), between 64 MB and ``most_mb``.

    The links take about 650 bytes a row. What does not fit is inserted on disk, fifty times as slowly.
    """
    bytes_needed = rows * (4 * dimension + 900)
    return max(64, min(most_mb, bytes_needed // 1_000_000 + 64)) * 1024
