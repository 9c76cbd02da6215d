"""Memories, what is asked of them, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from api.http.models.base import MAX_PAGE, Asked, Json, Limit, Tenant, Time, Told
from persistence.records import Content, CreatedAt, Embedding, Entities, Relationships, check_ends
from persistence.results import Outcome, StorageStatus
from persistence.service import MAX_DEPTH, MAX_LIMIT
from persistence.text import JsonObject, Name, Text

#: Memories in one request.
MAX_BATCH = 1_000


class MemoryAsked(Asked):
    """A memory to store. Without ``id`` it gets one; without entities and relationships (null) they are extracted."""

    content: Content
    user_id: Tenant = None
    id: Name | None = Field(None, description="A memory that has this id is replaced.")
    agent_id: Name | None = None
    run_id: Name | None = None
    metadata: JsonObject = Field(default_factory=dict)
    entities: Entities | None = None
    relationships: Relationships | None = None
    embedding: Embedding | None = Field(None, repr=False)
    created_at: CreatedAt | None = None

    @model_validator(mode="after")
    def _ends_are_entities(self) -> Self:
        check_ends(self.entities or (), self.relationships or ())
        return self

    def given(self, user_id: str) -> dict[str, Any]:
        """Return what the service takes, under the tenant that is meant."""
        return {name: getattr(self, name) for name in type(self).model_fields} | {"user_id": user_id}


class BatchAsked(Asked):
    """Memories to store. All are checked before the first is stored; of those with one identity the last wins."""

    memories: Annotated[tuple[MemoryAsked, ...], Field(min_length=1, max_length=MAX_BATCH, fail_fast=True)]
    user_id: Tenant = None


class PatchAsked(Asked):
    """The fields that are to change; what is not given stays, and a given field replaces the whole field.

    Null takes ``agent_id`` and ``run_id`` away; elsewhere it counts as not given.
    """

    content: Content | None = None
    agent_id: Name | None = None
    run_id: Name | None = None
    metadata: JsonObject | None = None
    entities: Entities | None = None
    relationships: Relationships | None = None
    embedding: Embedding | None = Field(None, repr=False)

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class SearchAsked(Asked):
    """A search by meaning: by a text, or by an embedding."""

    query: Text | Annotated[list[float], Field(min_length=1, max_length=65_536)]
    user_id: Tenant = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 10
    agent_id: Name | None = None
    run_id: Name | None = None
    filters: JsonObject | None = Field(None, description="Conditions on the metadata, as `persistence.filters` says.")
    expand: Annotated[int, Field(ge=0, le=MAX_DEPTH, description="Steps in the graph from the hits.")] = 0


class OneQuery(Asked):
    """Whose memory is meant."""

    user_id: Tenant = None


class ListQuery(Asked):
    """Which memories to list."""

    user_id: Tenant = None
    agent_id: Name | None = None
    run_id: Name | None = None
    filters: Annotated[
        str | None, Field(max_length=65_536, description='A JSON object of conditions, such as {"topic": "travel"}.')
    ] = None
    after: Annotated[Text | None, Field(description="`next` of the page before.")] = None
    limit: Limit = 100


class RelatedQuery(Asked):
    """How far to go from one memory, and how many to return."""

    user_id: Tenant = None
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = 1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 10


class DeleteAllQuery(Asked):
    """Whose memories are all to be deleted, said twice."""

    user_id: Tenant = None
    confirm: Name = Field(description="The tenant's user_id once more: all of its memories will be deleted.")


class ExportQuery(Asked):
    """What to export."""

    user_id: Tenant = None
    full: bool = Field(False, description="Also versions, digests, times, tombstones and the floor.")
    embeddings: bool = Field(True, description="With the embeddings; otherwise they are made anew at the import.")


class EntityTold(Told):
    """Something a memory speaks of."""

    name: str
    type: str
    properties: Json


class RelationshipTold(Told):
    """A statement of a memory about two of its entities, named by their names."""

    source: str
    type: str
    target: str
    properties: Json
    source_type: str | None = None
    target_type: str | None = None


class MemoryTold(Told):
    """A memory without its embedding. ``digest`` is a number of 63 bits, as text."""

    id: str
    user_id: str
    agent_id: str | None
    run_id: str | None
    content: str
    metadata: Json
    entities: list[EntityTold]
    relationships: list[RelationshipTold]
    extracted: bool
    version: int
    digest: str
    created_at: Time
    updated_at: Time


class ResultTold(Told):
    """What became of one write. ``pending``: it is stored, and the graph will follow. ``error`` says why it is behind.

    ``memory`` is the memory as it is now, null after a delete.
    """

    status: Literal["stored", "already_stored", "updated", "deleted", "already_deleted"]
    id: str
    user_id: str
    outcome: Outcome
    version: int | None
    vector: StorageStatus
    graph: StorageStatus
    error: str | None
    duration_ms: float
    memory: MemoryTold | None


class BatchTold(Told):
    """An outcome for each memory, in the order given; null for one that was not acknowledged, and ``error`` says why.

    ``stored`` counts those that truth has, ``pending`` those of them that the graph has not yet.
    """

    results: list[ResultTold | None]
    stored: int
    pending: int
    error: str | None


class PageTold(Told):
    """Memories in the order of their ids. ``next`` goes into ``after`` for the next page; null after the last."""

    memories: list[MemoryTold]
    next: str | None


class LinkTold(Told):
    """An entity by which a memory was reached."""

    entity: str
    type: str


class HitTold(Told):
    """One memory found. ``score``: cosine similarity, null for one that was reached through the graph."""

    score: float | None
    distance: int
    via: list[LinkTold]
    memory: MemoryTold


class HitsTold(Told):
    """Hits, best first. ``degraded`` says why what the graph would add is missing."""

    hits: list[HitTold]
    degraded: str | None


class DeletedAllTold(Told):
    """How many memories were deleted, and of how many of them the graph has still a copy."""

    status: Literal["deleted", "already_deleted"]
    user_id: str
    deleted: int
    pending: int
    duration_ms: float
