"""From a Filter to a condition in SQL: what is fixed is text of ours, what a caller gives is a parameter.

A path is a join of ``json_each``, an object a step, because SQLite's own paths cannot spell every key. What is compared
comes out of SQLite's JSON on both sides, so that a number that was written reads as the same number.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from persistence.filters import Condition, Filter, Op
from persistence.text import MAX_DEPTH
from persistence.vector.sqlite.queries import Queries

_SQL = Queries("conditions")
_TRUE, _FALSE = "true", "false"
#: The step at the end of a path, as the queries name it.
_LAST = "v"


class Conditions:
    """A condition on ``m`` and the values of its parameters."""

    def __init__(self, where: Filter) -> None:
        self.parameters: dict[str, Any] = {}
        parts: list[str] = []
        if where.agent_id is not None:
            parts.append(_SQL.get("agent", value=self._parameter(where.agent_id)))
        if where.run_id is not None:
            parts.append(_SQL.get("run", value=self._parameter(where.run_id)))
        parts.extend(self._condition(condition) for condition in where.conditions)
        self.everything = not parts
        self.sql = " AND ".join(parts) if parts else _TRUE

    def _parameter(self, value: Any) -> str:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def _condition(self, condition: Condition) -> str:
        name = _name(condition)
        if len(condition.path) > MAX_DEPTH:
            # Nothing is nested so deeply, and a join has its limits.
            return _TRUE if name in {"ne", "absent"} else _FALSE
        steps, way = self._path(condition.path)
        wanted = self._parameter(json.dumps(_wanted(condition), ensure_ascii=False))
        return _SQL.get(name, steps=steps, way=way, value=wanted)

    def _path(self, path: tuple[str, ...]) -> tuple[str, str]:
        """Return the join that goes along a path, and what must hold on the way."""
        names = [f"s{number}" for number in range(len(path) - 1)] + [_LAST]
        joins = [_SQL.get("first", step=names[0])]
        joins += [_SQL.get("next", above=above, step=step) for above, step in pairwise(names)]
        way = [_SQL.get("at", step=step, value=self._parameter(key)) for step, key in zip(names, path, strict=True)]
        return ", ".join(joins), " AND ".join(way)


def _name(condition: Condition) -> str:
    """Return the name of the query that says what a condition asks."""
    if condition.op is Op.EQ:
        return "in"
    if condition.op is Op.EXISTS:
        return "exists" if condition.value else "absent"
    return condition.op.value


def _wanted(condition: Condition) -> list[Any]:
    return list(condition.value) if condition.op is Op.IN else [condition.value]
