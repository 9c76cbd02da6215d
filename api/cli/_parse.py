"""What is typed on a command line, as values: JSON, entities, relations, times, content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from api.cli._stdin import read_stdin
from persistence.errors import InvalidInputError
from persistence.records import Entity, Relationship, normalise, validated


def json_object(option: str, text: str | None) -> dict[str, Any] | None:
    """Read a JSON object. Raises InvalidInputError."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInputError(option, text, """it must be a JSON object, such as '{"topic": "travel"}'""") from None
    if not isinstance(value, dict):
        raise InvalidInputError(option, text, """it must be a JSON object, such as '{"topic": "travel"}'""")
    return value


def entity(text: str) -> Entity:
    """Read ``NAME:TYPE`` (split at the last colon), or a JSON object with name, type, properties."""
    if text.lstrip().startswith("{"):
        return validated(Entity, json_object("--entity", text) or {})
    name, colon, kind = text.rpartition(":")
    if not (colon and name.strip() and kind.strip()):
        raise InvalidInputError("--entity", text, "it is NAME:TYPE, such as 'Ada:Person', or a JSON object")
    return validated(Entity, {"name": name.strip(), "type": kind.strip()})


def relation(text: str, entities: Sequence[Entity]) -> Relationship:
    """Read ``SOURCE:TYPE:TARGET``, or a JSON object.

    Names and types may hold colons: the ends are recognised as names of ``entities``.
    """
    if text.lstrip().startswith("{"):
        return validated(Relationship, json_object("--relation", text) or {})
    names = {known.key for known in entities}
    found = [cut for cut in _cuts(text) if normalise(cut[0]) in names and normalise(cut[2]) in names]
    if len(found) != 1:
        raise InvalidInputError("--relation", text, _why(len(found)))
    source, kind, target = found[0]
    return validated(Relationship, {"source": source, "type": kind, "target": target})


def _why(found: int) -> str:
    if found:
        return "it can be read in several ways: give it as a JSON object with source, type and target"
    return "it is SOURCE:TYPE:TARGET, such as 'Ada:WORKS_AT:Babbage', and both ends are names given by --entity"


def _cuts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield every way to cut the text at two colons into three parts that are not blank."""
    parts = text.split(":")
    for first in range(1, len(parts) - 1):
        for second in range(first + 1, len(parts)):
            cut = (":".join(parts[:first]), ":".join(parts[first:second]), ":".join(parts[second:]))
            source, kind, target = (part.strip() for part in cut)
            if source and kind and target:
                yield source, kind, target


def moment(option: str, text: str | None) -> datetime | None:
    """Read a time in RFC 3339, with its zone. Raises InvalidInputError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise InvalidInputError(option, text, "it must be a time with its zone, such as 2026-01-31T12:00:00Z")
    return found


async def content(text: str, limit: int) -> str:
    """Return the content given, or what stdin holds where it is ``-`` (read up to ``limit`` bytes and one chunk more).

    Raises InvalidInputError where stdin is not UTF-8.
    """
    if text != "-":
        return text
    raw = await read_stdin(limit)
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise InvalidInputError("content", raw, "stdin must be UTF-8") from None
