"""Conditions on points: what both transports can ask of Qdrant. A list of terms holds where every one of them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Value = str | int


@dataclass(frozen=True, slots=True)
class Is:
    """The field is this value, or a list that holds it."""

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field is one of these texts."""

    key: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Within:
    """The field is a number in these bounds. Both are compared as doubles, so they are sharp below 2^53 only."""

    key: str
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """The field is not there, or null, or an empty list."""

    key: str


@dataclass(frozen=True, slots=True)
class Null:
    """The field is null. Of a list that holds null it holds in the embedded engine, and not on a server."""

    key: str


@dataclass(frozen=True, slots=True)
class Ids:
    """The point is one of these."""

    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: Term


@dataclass(frozen=True, slots=True)
class Either:
    """One of the terms holds at least."""

    terms: Sequence[Term]


Term = Is | AnyOf | Within | Empty | Null | Ids | Not | Either
Terms = Sequence[Term]
