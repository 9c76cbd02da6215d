"""What a truth belongs to: its collections, its embedding model, its graph."""

from __future__ import annotations

import uuid
from typing import Any

from persistence.errors import (
    ConfigurationError,
    EmbeddingMismatchError,
    SchemaMissingError,
    SchemaTooNewError,
)
from persistence.ports.vector import GraphIdentity, StoreInfo
from persistence.vector.qdrant import entries, layout
from persistence.vector.qdrant.engine import Found, Index, Point, Put, Shape, Upsert
from persistence.vector.qdrant.layout import INFO
from persistence.vector.qdrant.session import PAGE, SCHEMA_VERSION, Info, Part, any_memory
from persistence.vector.qdrant.terms import AnyOf, Empty, Ids, Is, Not

#: The distance of our collection: of vectors of length 1 the product is the cosine.
DISTANCE = "Dot"
RUN_INDEXES = {
    "type": Index.KEYWORD,
    "user_id": Index.KEYWORD,
    "born": Index.INTEGER,
    "finished": Index.INTEGER,
    "number": Index.INTEGER,
    "resolved": Index.INTEGER,
}
_MARK = "diptych"


class Binding(Part):
    """What the port says of the store as a whole."""

    async def _bind(self, model: str, dimension: int, *, make: bool) -> StoreInfo:
        """Make the collections where they are missing and may be made; compare what they are with what is asked for."""
        shape = await self._engine.shape(self._memories)
        if shape is None:
            await self._make(model, dimension, make=make)
        elif INFO not in await self._engine.get(self._memories, [INFO], (_MARK,)):
            await self._adopt(shape, model, dimension, make=make)
        info = await self._info()
        self._compare(info, await self._engine.shape(self._memories), model, dimension)
        if info.listing:
            await self._list_everything()
        return info.public()

    async def _schema_versions(self) -> tuple[int, int]:
        """Return the layout's version, 0 where there is none, and the least that code must know to use it."""
        if await self._engine.shape(self._memories) is None:
            return 0, 0
        found = await self._engine.get(self._memories, [INFO], ("schema_version", "schema_needs"))
        if INFO not in found:
            return 0, 0
        said = found[INFO].payload
        version = int(said["schema_version"])
        return version, int(said.get("schema_needs", version))

    async def _make(self, model: str, dimension: int, *, make: bool) -> None:
        if not make:
            raise SchemaMissingError(f"The Qdrant collection {self._memories!r} has not been made.")
        await self._engine.create(self._runs, None, RUN_INDEXES)
        await self._engine.create(self._memories, dimension, layout.INDEXES)
        await self._describe(model, dimension)

    async def _adopt(self, shape: Shape, model: str, dimension: int, *, make: bool) -> None:
        """Go on where another process is making the collection, or died at it; what others have made is refused."""
        if shape != Shape(dimension, DISTANCE) or await self._engine.count(self._memories, [any_memory()]):
            raise ConfigurationError(
                f"The Qdrant collection {self._memories!r} is there, but was not made by diptych.",
                hint="name another collection in the vector store's URL: qdrant://host:6333/name",
            )
        await self._make(model, dimension, make=make)

    async def _describe(self, model: str, dimension: int) -> None:
        """Write down what the store is. Of several processes the first one does; an id that is there stays."""
        fields = {
            _MARK: True,
            "store_id": str(uuid.uuid4()),
            "schema_version": SCHEMA_VERSION,
            "schema_needs": SCHEMA_VERSION,
            "model": model,
            "dimension": dimension,
            "floor": 0,
        }
        await self._engine.change(self._memories, Upsert([Point(INFO, fields)], [AnyOf(_MARK, ["never"])]))

    def _compare(self, info: Info, shape: Shape | None, model: str, dimension: int) -> None:
        if info.schema_needs > SCHEMA_VERSION:
            raise SchemaTooNewError(
                f"The Qdrant collection {self._memories!r} is at version {info.schema_version};"
                f" this diptych knows {SCHEMA_VERSION}, which it is not fit for."
            )
        if (info.model, info.dimension) != (model, dimension):
            raise EmbeddingMismatchError(
                f"The vector store holds embeddings of {info.model!r} with {info.dimension} dimensions,"
                f" not of {model!r} with {dimension}."
            )
        if shape != Shape(dimension, DISTANCE):
            raise ConfigurationError(
                f"The vectors of the Qdrant collection {self._memories!r} are not those that diptych has made.",
                hint="restore the collection, or name another one in the vector store's URL",
            )

    async def info(self) -> StoreInfo:
        return (await self._engine.run(self._info)).public()

    # --- the graph ----------------------------------------------------------------------------------------------------

    async def register_graph(self, identity: GraphIdentity, *, former: GraphIdentity | None) -> GraphIdentity:
        return await self._engine.run(lambda: self._register(identity, former), write=True)

    async def _register(self, identity: GraphIdentity, former: GraphIdentity | None) -> GraphIdentity:
        """Record the graph, and that everything is to be listed, in one operation; then list it.

        Whoever dies at it leaves the mark, and the next one to open the store lists the rest.
        """
        recorded = (await self._info()).graph
        if recorded != identity and (recorded is None or recorded == former):
            fields: dict[str, Any] = {
                "graph_id": str(identity.graph_id),
                "graph_database_id": identity.database_id,
                "listing": True,
            }
            same = (
                [Empty("graph_id")]
                if recorded is None
                else [Is("graph_id", str(recorded.graph_id)), Is("graph_database_id", recorded.database_id)]
            )
            await self._engine.change(self._memories, Put([Ids([INFO]), *same], fields))
        info = await self._info()
        if info.listing:
            await self._list_everything()
        return info.graph or identity

    async def _list_everything(self) -> None:
        """List every memory and tombstone, due now. Entries that are there get a new id.

        So whoever was about to settle one (for another graph, perhaps) misses it.
        """
        start: str | None = None
        fields = ("version", "write_id", "entry", "entry_at")
        while True:
            found, start = await self._engine.scroll(
                self._memories, [any_memory()], limit=PAGE, start=start, fields=fields
            )
            if found:
                await self._engine.change(self._memories, *map(_listed, found))
            if start is None:
                break
        await self._engine.change(self._memories, Put([Ids([INFO]), Not(Empty("listing"))], {"listing": None}))


def _listed(found: Found) -> Put:
    fields, wall = found.payload, layout.now()
    old = entries.entry_of(fields)
    version = max(fields["version"], old[1] if old else 0)
    entry = entries.new_entry(uuid.uuid4(), version, at=fields.get("entry_at") or wall, due=wall)
    return Put([Ids([found.id]), Is("write_id", fields["write_id"])], entry)
