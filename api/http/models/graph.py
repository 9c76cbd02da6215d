"""A tenant's graph."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from api.http.models.base import Asked, Cursor, Json, Limit, Tenant, Told
from api.http.models.sync import EntityNamed
from persistence.records import EntityName
from persistence.text import Bounded, Name, refuse

#: Nodes and edges in one answer.
MAX_NODES, MAX_EDGES = 1_000, 5_000

Nodes = Annotated[int, Field(ge=1, le=MAX_NODES, description="Entities in the answer, at most.")]
Edges = Annotated[int, Field(ge=1, le=MAX_EDGES, description="Mentions and relationships in the answer, at most.")]


class NodesQuery(Asked):
    """Which nodes or edges to list."""

    user_id: Tenant = None
    after: Cursor = None
    limit: Limit = 100


class SubgraphQuery(Asked):
    """How much of a tenant's graph is wanted."""

    user_id: Tenant = None
    nodes: Nodes = 200
    edges: Edges = 1_000


class NeighbourhoodQuery(SubgraphQuery):
    """The node that is meant: a memory by its id, or an entity by its type and its name."""

    memory_id: Name | None = None
    type: Bounded | None = None
    name: EntityName | None = None

    @model_validator(mode="after")
    def _one_node(self) -> Self:
        entity = self.type is not None and self.name is not None
        if (self.memory_id is not None) is entity or (self.type is None) is not (self.name is None):
            raise refuse("a node is either a memory_id, or a type and a name")
        return self


class NodeTold(Told):
    """An entity. ``name`` is how the newest memory writes it, ``key`` what it is known by."""

    type: str | None
    key: str | None
    name: str | None


class EdgeTold(Told):
    """A relationship between two entities, as one memory states it."""

    source: EntityNamed
    type: str
    target: EntityNamed
    properties: Json
    memory_id: str


class MentionTold(Told):
    """A memory that mentions an entity."""

    memory_id: str
    entity: EntityNamed


class NodesTold(Told):
    """Entities in the order of (type, key)."""

    nodes: list[NodeTold]
    next: str | None


class EdgesTold(Told):
    """Relationships in the order of the memories that state them. A page may be short though there is a ``next``."""

    edges: list[EdgeTold]
    next: str | None


class SubgraphTold(Told):
    """A part of a graph. ``truncated``: there is more of it than was asked for."""

    nodes: list[NodeTold]
    mentions: list[MentionTold]
    edges: list[EdgeTold]
    truncated: bool
