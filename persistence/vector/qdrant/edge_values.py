"""Terms, changes and points as the embedded engine writes them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import qdrant_edge as edge

from persistence.vector.qdrant.engine import Change, Fields, Found, Point, Put, Upsert
from persistence.vector.qdrant.terms import AnyOf, Either, Empty, Ids, Is, Not, Null, Term, Terms, Within

Condition = edge.FieldCondition | edge.IsEmptyCondition | edge.IsNullCondition | edge.HasIdCondition | edge.Filter


def to_filter(terms: Terms) -> edge.Filter:
    """Return the filter that holds where every term does."""
    return edge.Filter(must=[_condition(term) for term in terms])


def _condition(term: Term) -> Condition:
    if isinstance(term, Not):
        return edge.Filter(must_not=[_condition(term.term)])
    if isinstance(term, Either):
        return edge.Filter(should=[_condition(one) for one in term.terms])
    if isinstance(term, Ids):
        return edge.HasIdCondition(set(term.ids))
    if isinstance(term, Empty):
        return edge.IsEmptyCondition(term.key)
    if isinstance(term, Null):
        return edge.IsNullCondition(term.key)
    return _field(term)


def _field(term: Is | AnyOf | Within) -> edge.FieldCondition:
    if isinstance(term, Is):
        return edge.FieldCondition(key=term.key, match=edge.MatchValue(term.value))
    if isinstance(term, AnyOf):
        return edge.FieldCondition(key=term.key, match=edge.MatchAny(list(term.values) or [""]))
    return edge.FieldCondition(key=term.key, range=edge.RangeFloat(gte=term.gte, lt=term.lt, lte=term.lte))


def operation(change: Change) -> edge.UpdateOperation:
    """Return a change."""
    if isinstance(change, Upsert):
        points = [_point(point) for point in change.points]
        return edge.UpdateOperation.upsert_points(points, condition=to_filter(change.only))
    if isinstance(change, Put):
        return edge.UpdateOperation.set_payload_by_filter(to_filter(change.where), dict(change.payload))
    return edge.UpdateOperation.delete_points_by_filter(to_filter(change.where))


def _point(point: Point) -> edge.Point:
    return edge.Point(point.id, {} if point.vector is None else point.vector.tolist(), point.payload)


@lru_cache(maxsize=64)
def selected(fields: Fields) -> bool | edge.PayloadSelector:
    """Return what selects fields of payloads."""
    return True if fields is None else edge.PayloadSelector.Include(list(fields))


def found(record: edge.Record) -> Found:
    """Return a point that was read."""
    vector = record.vector
    return Found(
        str(record.id),
        record.payload or {},
        np.array(vector, dtype=np.float32) if isinstance(vector, list) else None,
    )
