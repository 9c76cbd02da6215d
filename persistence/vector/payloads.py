"""What a memory says as JSON texts, as the stores keep it that have no types of their own for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from persistence.records import Entity, Relationship, trusted

encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def object_text(value: Mapping[str, Any]) -> str:
    """Return metadata, or what else is an object, as JSON."""
    return encode(dict(value)) if value else "{}"


def entities_text(entities: Sequence[Entity]) -> str:
    """Return entities as a JSON list."""
    if not entities:
        return "[]"
    return encode([{"name": e.name, "type": e.type, "properties": dict(e.properties)} for e in entities])


def relationships_text(relationships: Sequence[Relationship]) -> str:
    """Return relationships as a JSON list; types of ends only where they were given."""
    return encode([_relationship_fields(r) for r in relationships]) if relationships else "[]"


def _relationship_fields(relation: Relationship) -> dict[str, Any]:
    fields = {
        "source": relation.source,
        "type": relation.type,
        "target": relation.target,
        "properties": dict(relation.properties),
    }
    if relation.source_type is not None:
        fields["source_type"] = relation.source_type
    if relation.target_type is not None:
        fields["target_type"] = relation.target_type
    return fields


def to_metadata(text: str) -> dict[str, Any]:
    """Return metadata anew: whoever gets it may change it."""
    found: dict[str, Any] = {} if text == "{}" else json.loads(text)
    return found


def to_entities(text: str) -> tuple[Entity, ...]:
    """Return entities; what is ours is not validated again."""
    return () if text == "[]" else as_entities(json.loads(text))


def to_relationships(text: str) -> tuple[Relationship, ...]:
    """Return relationships; what is ours is not validated again."""
    return () if text == "[]" else as_relationships(json.loads(text))


#: What a relationship's fields leave out where it was not given.
_UNTYPED = {"source_type": None, "target_type": None}


def as_entities(said: Sequence[dict[str, Any]]) -> tuple[Entity, ...]:
    """Return entities of their fields, which are theirs from here on."""
    return tuple([trusted(Entity, fields) for fields in said])


def as_relationships(said: Sequence[dict[str, Any]]) -> tuple[Relationship, ...]:
    """Return relationships of their fields."""
    return tuple([trusted(Relationship, _UNTYPED | fields) for fields in said])
