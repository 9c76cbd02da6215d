"""The filter language of reads: what a memory must be, beside being the tenant's.

A filter on metadata maps a dotted path to a value (equality) or to operators:

    {"topic": "travel", "trip.year": {"gte": 2020, "lt": 2030}, "status": {"in": ["open", "held"]}}

All conditions must hold. A condition on a path that is not there holds for ``ne`` and ``exists: False`` only. Ordering
compares numbers with numbers and texts with texts (code point order); other kinds never match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from persistence.errors import InvalidInputError
from persistence.records import Record, first_fault
from persistence.text import JsonObject, Name, check_json

MAX_CONDITIONS = 32


class Op(StrEnum):
    """What a condition asks of the value at its path."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    EXISTS = "exists"
    CONTAINS = "contains"
    """The value is a list that holds this."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on the metadata."""

    path: tuple[str, ...]
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class Filter:
    """What a memory must be. The empty filter lets every memory of the tenant pass."""

    agent_id: str | None = None
    run_id: str | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def empty(self) -> bool:
        """True where every memory passes."""
        return self == Filter()


class _Given(Record):
    agent_id: Name | None = None
    run_id: Name | None = None
    filters: JsonObject | None = None


def make_filter(
    agent_id: str | None = None, run_id: str | None = None, filters: Mapping[str, Any] | None = None
) -> Filter:
    """Check what a caller gave. Raises InvalidInputError."""
    if agent_id is None and run_id is None and filters is None:
        return Filter()
    try:
        given = _Given(agent_id=agent_id, run_id=run_id, filters=filters and dict(filters))
    except ValidationError as error:
        raise first_fault(error) from error
    conditions = tuple(c for path, wanted in (given.filters or {}).items() for c in _conditions(path, wanted))
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidInputError("filters", len(conditions), f"at most {MAX_CONDITIONS} conditions may be given")
    return Filter(given.agent_id, given.run_id, conditions)


def _conditions(path: str, wanted: Any) -> list[Condition]:
    steps = tuple(path.split("."))
    if not all(steps):
        raise InvalidInputError("filters", path, "a path is names joined by single dots")
    if not isinstance(wanted, Mapping):
        return [_condition(path, steps, Op.EQ, wanted)]
    if not wanted:
        raise InvalidInputError(f"filters.{path}", wanted, "at least one operator must be given")
    return [_condition(path, steps, op, value) for op, value in wanted.items()]


def _condition(path: str, steps: tuple[str, ...], name: str, value: Any) -> Condition:
    field = f"filters.{path}"
    try:
        op = Op(name)
    except ValueError:
        raise InvalidInputError(field, name, f"the operators are {', '.join(Op)}") from None
    scalar = value is None or isinstance(value, str | int | float)
    if op is Op.IN and not (isinstance(value, list) and value and all(not isinstance(v, dict | list) for v in value)):
        raise InvalidInputError(field, value, "`in` takes a list of texts, numbers, booleans or null, not an empty one")
    if op in (Op.GT, Op.GTE, Op.LT, Op.LTE) and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise InvalidInputError(field, value, f"`{op}` takes a text or a number")
    if op is Op.EXISTS and not isinstance(value, bool):
        raise InvalidInputError(field, value, "`exists` takes true or false")
    if op in (Op.EQ, Op.NE, Op.CONTAINS) and not scalar:
        raise InvalidInputError(field, value, f"`{op}` takes a text, a number, a boolean or null")
    return Condition(steps, op, check_json(value))


def matches(where: Filter, agent_id: str | None, run_id: str | None, metadata: Mapping[str, Any]) -> bool:
    """Say whether a memory with these fields passes, by the same rules as a store's own search."""
    if where.agent_id is not None and where.agent_id != agent_id:
        return False
    if where.run_id is not None and where.run_id != run_id:
        return False
    return all(_holds(condition, metadata) for condition in where.conditions)


def _holds(condition: Condition, metadata: Mapping[str, Any]) -> bool:
    here, value = _at(condition.path, metadata)
    if condition.op is Op.EXISTS:
        return here is bool(condition.value)
    if condition.op is Op.NE:
        return not (here and _same(value, condition.value))
    return here and _TESTS[condition.op](value, condition.value)


def _at(path: tuple[str, ...], metadata: Mapping[str, Any]) -> tuple[bool, Any]:
    value: Any = metadata
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return False, None
        value = value[step]
    return True, value


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) is isinstance(right, bool)


def _ordered(left: Any, right: Any) -> bool:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
    return numbers or all(isinstance(side, str) for side in (left, right))


_TESTS: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: _same,
    Op.IN: lambda value, wanted: any(_same(value, one) for one in wanted),
    Op.GT: lambda value, wanted: _ordered(value, wanted) and value > wanted,
    Op.GTE: lambda value, wanted: _ordered(value, wanted) and value >= wanted,
    Op.LT: lambda value, wanted: _ordered(value, wanted) and value < wanted,
    Op.LTE: lambda value, wanted: _ordered(value, wanted) and value <= wanted,
    Op.CONTAINS: lambda value, wanted: isinstance(value, list) and any(_same(one, wanted) for one in value),
}
