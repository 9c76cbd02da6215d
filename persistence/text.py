"""The strings and values that every backend can hold, as pydantic types.

Postgres holds no NUL in text, UTF-8 no lone surrogate, Neo4j no nested map in a property and no integer outside
64 bit. What one backend cannot hold is refused for all of them, before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, StringConstraints
from pydantic_core import PydanticCustomError

MAX_NAME = 255
MAX_DEPTH = 32
#: Values of one object, those in lists and objects below counted: what is looked at one by one is bounded.
MAX_VALUES = 10_000
INT64 = range(-(2**63), 2**63)

#: Labels and relationship types that the graph keeps for itself (design section 4).
RESERVED_TYPES = frozenset({"MENTIONS", "Memory", "Entity"})
RESERVED_PREFIX = "Diptych"
#: Edge properties that the graph keeps for itself.
RESERVED_PROPERTIES = frozenset({"user_id", "memory_id"})


def refuse(allowed: str) -> PydanticCustomError:
    """Make the error for a value that is not allowed; ``allowed`` completes "this is not allowed; …"."""
    return PydanticCustomError("not_allowed", "{allowed}", {"allowed": allowed})


def check_text(text: str) -> str:
    """Return ``text`` where every backend can hold it: UTF-8 encodable, without NUL."""
    if "\x00" in text:
        raise refuse("it must not contain NUL characters")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise refuse("it must not contain lone surrogates") from None
    return text


@lru_cache(maxsize=1_024)
def _check_type(text: str) -> str:
    if check_text(text) in RESERVED_TYPES or text.startswith(RESERVED_PREFIX):
        raise refuse(f"{', '.join(sorted(RESERVED_TYPES))} and names beginning with {RESERVED_PREFIX} are reserved")
    return text


def check_json(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as JSON: zoned datetimes become RFC 3339 text, everything that is not JSON is refused."""
    if isinstance(value, str):
        return check_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _check_number(value)
    if isinstance(value, datetime):
        return _check_datetime(value)
    if depth >= MAX_DEPTH:
        raise refuse(f"values may be nested {MAX_DEPTH} deep at most")
    if isinstance(value, (dict, Mapping)):  # a dict first: the test for an abstract class is slow
        return {_check_key(key): check_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [check_json(item, depth + 1) for item in value]
    raise refuse(f"values must be JSON, not {type(value).__name__}")


def _check_number(value: float) -> float:
    if isinstance(value, int):
        value = int(value)  # of a subclass of int, ``in range`` would go through the range
        if value not in INT64:
            raise refuse("integers must fit into 64 bit")
        return value
    if not math.isfinite(value):
        raise refuse("numbers must be finite")
    return float(value)


def _check_datetime(value: datetime) -> str:
    if value.utcoffset() is None:
        raise refuse("a datetime needs a time zone")
    return value.isoformat()


def _check_key(key: Any) -> str:
    if not isinstance(key, str) or not key or len(key) > MAX_NAME:
        raise refuse(f"keys must be text of 1 to {MAX_NAME} characters")
    return check_text(key)


def _check_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, (dict, Mapping)):
        raise refuse("it must be a JSON object")
    _check_size(value)
    return dict(check_json(value)) if value else {}


def _check_size(value: Mapping[str, Any]) -> None:
    """Count values, a level after another, before any of them is looked at."""
    level: list[Any] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        below = [_inner(item) for item in level]
        seen += sum(map(len, below))
        if seen > MAX_VALUES:
            raise refuse(f"it may hold {MAX_VALUES:,} values at most, those in lists and objects counted")
        level = [item for inner in below for item in inner]


def _inner(item: Any) -> Collection[Any]:
    if isinstance(item, str):
        return ()
    if isinstance(item, (dict, Mapping)):
        return item.values()
    return item if isinstance(item, list | tuple) else ()


def _check_properties(value: Any) -> dict[str, Any]:
    """Flat: scalars, and lists of scalars of one kind (Neo4j holds nothing else in a property)."""
    properties = _check_object(value)
    for key, item in properties.items():
        if key in RESERVED_PROPERTIES:
            raise refuse(f"the property names {', '.join(sorted(RESERVED_PROPERTIES))} are reserved")
        if isinstance(item, dict):  # check_json made a dict of every mapping
            raise refuse(f"property {key!r} must not be a map: properties are flat")
        if isinstance(item, list):
            properties[key] = _check_list(key, item)
    return properties


def _check_list(key: str, items: Sequence[Any]) -> list[Any]:
    kinds = {float if isinstance(item, int) and not isinstance(item, bool) else type(item) for item in items}
    if kinds - {str, bool, float}:
        raise refuse(f"the list in property {key!r} may hold text, numbers or booleans only")
    if len(kinds) > 1:
        raise refuse(f"the list in property {key!r} must hold values of one kind")
    mixed = {type(item) for item in items} == {int, float}
    return [float(item) for item in items] if mixed else list(items)


Text = Annotated[str, AfterValidator(check_text)]
#: 1 to 255 characters, not yet checked by ``check_text``.
Bounded = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
#: 1 to 255 characters that every backend can hold.
Name = Annotated[Bounded, AfterValidator(check_text)]
#: A ``Name`` that may stand as a label or a relationship type; any character, but none of the reserved names.
TypeName = Annotated[Bounded, AfterValidator(_check_type)]
#: A JSON object.
JsonObject = Annotated[dict[str, Any], PlainValidator(_check_object, json_schema_input_type=dict[str, Any])]
#: A flat JSON object: scalars, and lists of scalars of one kind.
Properties = Annotated[dict[str, Any], PlainValidator(_check_properties, json_schema_input_type=dict[str, Any])]
