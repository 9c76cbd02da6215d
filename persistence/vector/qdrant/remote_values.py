"""Terms, changes and points as the client writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from persistence.vector.qdrant.engine import Change, Fields, Found, Point, Put, Upsert
from persistence.vector.qdrant.terms import AnyOf, Either, Empty, Ids, Is, Not, Null, Term, Terms, Within

#: About the most bytes of one request. A server takes 32 MB, where it is not told otherwise; smaller ones can be made,
#: taken in and applied side by side (docs/decisions/0025-large-writes-to-qdrant.md).
_LARGEST = 4_000_000
_NUMBER, _CHARACTER, _FIELDS = 25, 4, 4_000


def to_filter(terms: Terms) -> models.Filter:
    """Return the filter that holds where every term does."""
    return models.Filter(must=[_condition(term) for term in terms])


def _condition(term: Term) -> models.Condition:
    if isinstance(term, Not):
        return models.Filter(must_not=[_condition(term.term)])
    if isinstance(term, Either):
        return models.Filter(should=[_condition(one) for one in term.terms])
    if isinstance(term, Ids):
        return models.HasIdCondition(has_id=list(term.ids))
    if isinstance(term, Empty):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=term.key))
    if isinstance(term, Null):
        return models.IsNullCondition(is_null=models.PayloadField(key=term.key))
    return _field(term)


def _field(term: Is | AnyOf | Within) -> models.FieldCondition:
    if isinstance(term, Is):
        return models.FieldCondition(key=term.key, match=models.MatchValue(value=term.value))
    if isinstance(term, AnyOf):
        return models.FieldCondition(key=term.key, match=models.MatchAny(any=list(term.values) or [""]))
    return models.FieldCondition(key=term.key, range=models.Range(gte=term.gte, lt=term.lt, lte=term.lte))


def selected(fields: Fields) -> bool | list[str]:
    """Return what selects fields of payloads."""
    return True if fields is None else list(fields)


def found(record: models.Record) -> Found:
    """Return a point that was read."""
    vector = record.vector
    return Found(
        str(record.id),
        record.payload or {},
        np.array(vector, dtype=np.float32) if isinstance(vector, list) else None,
    )


def in_turns(changes: Sequence[Change]) -> Iterator[list[list[Change]]]:
    """Yield turns, one after another to be sent; those of one turn are requests of which none has to wait."""
    if changes and not any(isinstance(change, Upsert) for change in changes):
        yield [list(changes)]
        return
    for change in changes:
        yield [[part] for part in _parts(change)]


def operations(request: Sequence[Change]) -> list[models.UpdateOperation]:
    """Return the changes of one request as a server takes them."""
    return [_operation(change) for change in request]


def _parts(change: Change) -> list[Change]:
    if not isinstance(change, Upsert):
        return [change]
    parts: list[list[Point]] = [[]]
    size = 0
    for point in change.points:
        size += _size(point)
        if size > _LARGEST and parts[-1]:
            parts.append([])
            size = _size(point)
        parts[-1].append(point)
    return [Upsert(points, change.only) for points in parts]


def _size(point: Point) -> int:
    """Return about how many bytes a point takes, more rather than less."""
    numbers = 0 if point.vector is None else point.vector.size
    return _NUMBER * numbers + _CHARACTER * len(point.payload.get("content", "")) + _FIELDS


def _operation(change: Change) -> models.UpdateOperation:
    if isinstance(change, Upsert):
        points = [_struct(point) for point in change.points]
        return models.UpsertOperation(upsert=models.PointsList(points=points, update_filter=to_filter(change.only)))
    if isinstance(change, Put):
        payload = models.SetPayload(payload=dict(change.payload), filter=to_filter(change.where))
        return models.SetPayloadOperation(set_payload=payload)
    return models.DeleteOperation(delete=models.FilterSelector(filter=to_filter(change.where)))


def _struct(point: Point) -> models.PointStruct:
    vector: Any = {} if point.vector is None else point.vector.tolist()
    return models.PointStruct(id=point.id, payload=point.payload, vector=vector)
