"""From a Filter to terms of Qdrant. They let pass all that the filter does, and sometimes a little more.

Qdrant compares numbers as doubles, takes a list for each of its items, and does not order texts. So its answer to a
condition on metadata is a first choice, and what it lets pass is judged once more here, by ``persistence.filters``.
"""

from __future__ import annotations

import json
import math
from typing import Any

from persistence.filters import Condition, Filter, Op, matches
from persistence.projection import EXACT
from persistence.vector.qdrant.engine import Found
from persistence.vector.qdrant.terms import Either, Empty, Is, Not, Null, Term, Within


def to_terms(where: Filter) -> list[Term]:
    """Return terms that hold of every memory that passes the filter."""
    terms: list[Term] = []
    if where.agent_id is not None:
        terms.append(Is("agent_id", where.agent_id))
    if where.run_id is not None:
        terms.append(Is("run_id", where.run_id))
    return [*terms, *(term for condition in where.conditions for term in _terms(condition))]


def passes(where: Filter, found: Found) -> bool:
    """Say whether a point that Qdrant let pass is really meant."""
    fields = found.payload
    return matches(where, fields.get("agent_id"), fields.get("run_id"), fields["metadata"])


def _terms(condition: Condition) -> list[Term]:
    path = _path(condition.path)
    if path is None:
        return []
    wanted = condition.value
    if condition.op is Op.CONTAINS and wanted is None:
        return []  # of a list that holds null, the server and the embedded engine say different things
    if condition.op in (Op.EQ, Op.CONTAINS):
        return [_equal(path, wanted)]
    if condition.op is Op.IN:
        return [Either([_equal(path, one) for one in wanted])]
    if condition.op is Op.EXISTS:
        return [] if wanted else [Empty(path)]
    if condition.op is Op.NE or isinstance(wanted, str):
        return []
    low, high = _around(wanted)
    return [Within(path, lte=high) if condition.op in (Op.LT, Op.LTE) else Within(path, gte=low)]


def _equal(path: str, wanted: Any) -> Term:
    if wanted is None:
        return Null(path)
    if isinstance(wanted, bool):
        return Not(Empty(path))  # the embedded engine finds no booleans
    if isinstance(wanted, str):
        return Is(path, wanted)
    low, high = _around(wanted)
    return Within(path, gte=low, lte=high)


def _around(number: float) -> tuple[float | None, float | None]:
    """Return bounds that hold the number, whether it is compared as what it is or as a double; None: no bound."""
    if abs(number) < EXACT:
        return number, number
    bounds = (math.nextafter(float(number), sign * math.inf) for sign in (-1, 1))
    low, high = (bound if math.isfinite(bound) else None for bound in bounds)
    return low, high


def _path(steps: tuple[str, ...]) -> str | None:
    """Return Qdrant's name of a path; None where it has no name for it: it knows no escapes."""
    quoted = [json.dumps(step, ensure_ascii=False) for step in steps]
    if any(name != f'"{step}"' for name, step in zip(quoted, steps, strict=True)):
        return None
    return ".".join(("metadata", *quoted))
