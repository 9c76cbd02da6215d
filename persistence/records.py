"""The records: what a memory is, what a caller gives, and what a patch may change.

All are immutable pydantic models. ``validated`` is the one place where pydantic's errors become ours.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from persistence.errors import InvalidInputError
from persistence.text import Bounded, JsonObject, Name, Properties, Text, TypeName, check_text, refuse

MAX_ENTITIES = 1_000
MAX_RELATIONSHIPS = 5_000
#: Bytes of an entity's identity in UTF-8: an entry of PostgreSQL's index takes 2,704, lengths and all.
MAX_IDENTITY = 2_600
#: Fields of one object; no record has as many. Each that is not known is a fault of its own, which costs a kilobyte.
MAX_FIELDS = 100

Vector = npt.NDArray[np.float32]


def check_embedding(value: Any) -> Vector:
    """Return ``value`` as a read-only float32 vector, shape ``(d,)``; NaN, infinite and zero vectors are refused.

    The squared length is taken in float32, as pgvector does for a cosine distance, so that what passes here has a
    distance there.
    """
    try:
        with np.errstate(all="ignore"):
            vector = np.array(value, dtype=np.float32)
            length = float(np.dot(vector, vector)) if vector.ndim == 1 else 0.0
    except (TypeError, ValueError, OverflowError):
        raise refuse("an embedding is a list of numbers") from None
    if not 0 < length < math.inf:
        raise _bad_embedding(vector)
    vector.flags.writeable = False
    return vector


def _bad_embedding(vector: Vector) -> PydanticCustomError:
    if vector.ndim != 1 or not vector.size:
        return refuse("an embedding is a list of numbers, one dimension deep and not empty")
    if not np.isfinite(vector).all():
        return refuse("every number of an embedding must be finite in float32")
    return refuse("an embedding must have a length: not all zero, and not out of float32's range")


Embedding = Annotated[
    Vector,
    PlainValidator(check_embedding),
    PlainSerializer(lambda vector: vector.tolist(), return_type=list[float]),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 1}),
]


class Record(BaseModel):
    """What all records share: immutable, unknown fields refused, embeddings compared by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __eq__(self, other: object) -> bool:
        """Compare field by field; arrays by their values."""
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(getattr(self, name), getattr(other, name)) for name in type(self).model_fields)

    __hash__ = None  # type: ignore[assignment]  # records hold dicts and arrays


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return left is not None and right is not None and np.array_equal(left, right)
    return bool(left == right)


@lru_cache(maxsize=8_192)
def normalise(name: str) -> str:
    """Return an entity's key: NFKC, casefolded, inner space collapsed.

    Normalised once more after the folding, which can undo it (UAX #31, section 5.1.3).
    """
    if name.isascii():
        return " ".join(name.casefold().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(unicodedata.normalize("NFKC", folded.casefold()).split())


def _check_entity_name(name: str) -> str:
    if not normalise(check_text(name)):
        raise refuse("an entity's name must not be blank")
    return name


EntityName = Annotated[Bounded, AfterValidator(_check_entity_name)]


class Entity(Record):
    """Something a memory speaks of. Its identity in the graph is ``(user_id, type, key)``."""

    name: EntityName
    type: TypeName
    properties: Properties = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name, normalised."""
        return normalise(self.name)


def fits(user_id: str, entity: Entity) -> bool:
    """Say whether every graph can hold an entity's identity; normalising can make a name many times as long."""
    parts = (user_id, entity.type, entity.key)
    return sum(map(len, parts)) * 4 <= MAX_IDENTITY or sum(len(part.encode()) for part in parts) <= MAX_IDENTITY


class Relationship(Record):
    """A statement of a memory that one of its entities relates to another; the ends are entity names.

    ``source_type`` and ``target_type`` are needed only where two entities of the memory share that name.
    """

    source: EntityName
    type: TypeName
    target: EntityName
    properties: Properties = Field(default_factory=dict)
    source_type: TypeName | None = None
    target_type: TypeName | None = None


def check_fields(value: Any) -> Any:
    """Return what a record is made of, or a list of such; refuse it where one has more fields than any record."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, dict) and len(item) > MAX_FIELDS:
            raise refuse(f"an object may have {MAX_FIELDS} fields at most")
    return value


# The first item at fault ends the look at a list: a million of them would be a million faults, at a kilobyte each.
Entities = Annotated[tuple[Entity, ...], Field(max_length=MAX_ENTITIES, fail_fast=True), BeforeValidator(check_fields)]
Relationships = Annotated[
    tuple[Relationship, ...], Field(max_length=MAX_RELATIONSHIPS, fail_fast=True), BeforeValidator(check_fields)
]
Content = Annotated[Text, Field(min_length=1)]


def _check_calendar(moment: datetime) -> datetime:
    """Return a moment that can be read back in UTC. Raises PydanticCustomError."""
    try:
        moment.astimezone(UTC)
    except OverflowError as error:
        raise refuse("it must lie between the years 1 and 9999 in UTC") from error
    return moment


#: When a memory came about, as a caller gives it.
CreatedAt = Annotated[AwareDatetime, AfterValidator(_check_calendar)]


class MemoryDraft(Record):
    """A memory as a caller gives it.

    Without ``id`` it gets a UUIDv7. Without ``embedding`` it is embedded, without ``entities`` and ``relationships``
    (None, not empty) they are extracted from the content.
    """

    user_id: Name
    content: Content
    id: Name | None = None
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


class MemoryPatch(Record):
    """The fields of a memory that are to change; what is not given stays. A given field replaces the whole field."""

    content: Content | None = None
    agent_id: Name | None = None
    run_id: Name | None = None
    metadata: JsonObject | None = None
    entities: Entities | None = None
    relationships: Relationships | None = None
    embedding: Embedding | None = Field(None, repr=False)


class Memory(Record):
    """One record of truth. ``embedding`` has shape ``(d,)`` and is None only where it was not asked for."""

    id: str
    user_id: str
    agent_id: str | None = None
    run_id: str | None = None
    content: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    entities: tuple[Entity, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    extracted: bool = False
    embedding: Embedding | None = Field(None, repr=False)
    version: int
    digest: int
    created_at: AwareDatetime
    updated_at: AwareDatetime


def check_ends(entities: tuple[Entity, ...], relationships: tuple[Relationship, ...]) -> None:
    """Refuse relationships whose ends are not exactly one entity of the memory."""
    if not relationships:
        return
    types: dict[str, set[str]] = {}
    for entity in entities:
        types.setdefault(entity.key, set()).add(entity.type)
    for position, relation in enumerate(relationships):
        _check_end(types, position, "source", relation.source, relation.source_type)
        _check_end(types, position, "target", relation.target, relation.target_type)


def _check_end(types: dict[str, set[str]], position: int, end: str, name: str, wanted: str | None) -> None:
    found = types.get(normalise(name), set())
    if not found or (wanted is not None and wanted not in found):
        raise InvalidInputError(
            f"relationships[{position}].{end}", name, "it must be the name of an entity of this memory"
        )
    if len(found) > 1 and wanted is None:
        raise InvalidInputError(
            f"relationships[{position}].{end}",
            name,
            f"entities of several types have this name, so {end}_type must say which ({', '.join(sorted(found))})",
        )


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], data: Mapping[str, Any]) -> M:
    """Make a record of ``data``.

    Raises InvalidInputError, which names the first field at fault, its value and what is allowed there.
    """
    try:
        if isinstance(data, dict) and len(data) > MAX_FIELDS:
            raise InvalidInputError("input", f"{len(data)} fields", f"it may have {MAX_FIELDS}")
        return model.model_validate(data)
    except ValidationError as error:
        raise first_fault(error) from error


def trusted(model: type[M], fields: dict[str, Any]) -> M:
    """Make a record of what was validated before it was written.

    ``fields`` has each of its fields, and belongs to the record from here on. pydantic's own way (``model_construct``)
    asks for the default of each field, at three times the cost.
    """
    record = model.__new__(model)
    object.__setattr__(record, "__dict__", fields)
    object.__setattr__(record, "__pydantic_fields_set__", set(fields))
    object.__setattr__(record, "__pydantic_extra__", None)
    object.__setattr__(record, "__pydantic_private__", None)
    return record


def first_fault(error: ValidationError) -> InvalidInputError:
    """Turn pydantic's report into our error about its first field."""
    fault = error.errors(include_url=False)[0]
    inner = fault.get("ctx", {}).get("error")
    if isinstance(inner, InvalidInputError):
        return inner
    field = ""
    for step in fault["loc"]:
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else str(step)
    if fault["type"] == "missing":  # whose input is all that stands around it
        return InvalidInputError(field, None, "it has to be given")
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return InvalidInputError(field or "input", fault["input"], message)
