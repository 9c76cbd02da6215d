"""From a Filter to a condition in SQL: what is fixed is text of ours, what a caller gives is a parameter.

Paths go through objects only, step by step (``->`` with a text finds nothing in a list). Comparisons are jsonb's own,
exact in numbers, except that texts compare by code points.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg import sql

from persistence.filters import Condition, Filter, Op

_COMPARISONS = {
    Op.GT: sql.SQL(">"),
    Op.GTE: sql.SQL(">="),
    Op.LT: sql.SQL("<"),
    Op.LTE: sql.SQL("<="),
}
_TRUE = sql.SQL("true")


class Conditions:
    """A condition on ``m`` and the values of its parameters."""

    def __init__(self, where: Filter) -> None:
        self.parameters: dict[str, Any] = {}
        self.on_metadata = bool(where.conditions)
        parts: list[sql.Composable] = []
        if where.agent_id is not None:
            parts.append(sql.SQL("m.agent_id = {}").format(self._text(where.agent_id)))
        if where.run_id is not None:
            parts.append(sql.SQL("m.run_id = {}").format(self._text(where.run_id)))
        parts.extend(self._condition(condition) for condition in where.conditions)
        self.sql: sql.Composable = sql.SQL(" AND ").join(parts) if parts else _TRUE

    def _parameter(self, value: Any) -> sql.Placeholder:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    def _text(self, value: str) -> sql.Composable:
        return sql.SQL("{}::text").format(self._parameter(value))

    def _json(self, value: Any) -> sql.Composable:
        return sql.SQL("{}::jsonb").format(self._parameter(json.dumps(value, ensure_ascii=False)))

    def _path(self, steps: tuple[str, ...]) -> sql.Composable:
        arrows = (sql.SQL(" -> {}").format(self._text(step)) for step in steps)
        return sql.SQL("(m.metadata{})").format(sql.SQL("").join(arrows))

    def _condition(self, condition: Condition) -> sql.Composable:
        value = self._path(condition.path)
        if condition.op is Op.EQ:
            return self._equal(condition, value)
        if condition.op is Op.NE:
            return sql.SQL("{} IS DISTINCT FROM {}").format(value, self._json(condition.value))
        if condition.op is Op.IN:
            wanted = sql.SQL(", ").join(self._json(item) for item in condition.value)
            return sql.SQL("{} IN ({})").format(value, wanted)
        if condition.op is Op.EXISTS:
            return sql.SQL("{} IS NOT NULL" if condition.value else "{} IS NULL").format(value)
        if condition.op is Op.CONTAINS:
            # Containment of one scalar in a list is equality with one of its items, and of nothing deeper.
            return sql.SQL("(jsonb_typeof({0}) = 'array' AND {0} @> {1})").format(value, self._json([condition.value]))
        return self._compare(condition, value)

    def _equal(self, condition: Condition, value: sql.Composable) -> sql.Composable:
        """Ask twice: `@>` can use the index, and is true of a little more than equality (a list at the top)."""
        nested = condition.value
        for step in reversed(condition.path):
            nested = {step: nested}
        return sql.SQL("(m.metadata @> {} AND {} = {})").format(self._json(nested), value, self._json(condition.value))

    def _compare(self, condition: Condition, value: sql.Composable) -> sql.Composable:
        sign = _COMPARISONS[condition.op]
        if isinstance(condition.value, str):
            return sql.SQL(
                "CASE WHEN jsonb_typeof({0}) = 'string' THEN ({0} #>> '{{}}') COLLATE \"C\" {1} {2} ELSE false END"
            ).format(value, sign, self._text(condition.value))
        return sql.SQL("(jsonb_typeof({0}) = 'number' AND {0} {1} {2})").format(
            value, sign, self._json(condition.value)
        )
