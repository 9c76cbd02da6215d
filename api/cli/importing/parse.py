"""From one line to a memory draft, or to the reason why not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NoReturn

from api.cli.importing.lines import MAX_LINE, Line
from persistence.errors import InvalidInputError, shorten
from persistence.records import MemoryDraft, validated

UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
ID_BYTES = 16


class LineError(ValueError):
    """The line is no memory; the message completes "line 3 was rejected: …"."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a line is held to: the default tenant, the longest content in UTF-8 bytes, the embedding's dimension."""

    user_id: str | None
    max_content_bytes: int
    dimension: int | None = None


def parse(line: Line, rules: Rules) -> MemoryDraft:
    """Return the memory that a line describes, with an id. Raises LineError, InvalidInputError."""
    if line.spill is not None:
        raise LineError(f"it is longer than {MAX_LINE // 2**20} MiB")
    try:
        return _parsed(line, rules)
    except RecursionError as error:
        raise LineError("its values are nested too deeply") from error


def _parsed(line: Line, rules: Rules) -> MemoryDraft:
    data = _load(_decode(line))
    if data.get("user_id") is None:
        _default_user(data, rules)
    if data.get("id") is None:
        data["id"] = derived_id(data)
    draft = validated(MemoryDraft, data)
    check(draft, rules)
    return draft


def derived_id(data: dict[str, Any]) -> str:
    """Return the id of a line that has none: of what it says, in any order of keys, the embedding left out."""
    said = {key: value for key, value in data.items() if key not in ("id", "embedding") and value not in (None, {})}
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True)
    return f"line-{blake2b(canonical.encode(), digest_size=ID_BYTES).hexdigest()}"


def check(draft: MemoryDraft, rules: Rules) -> None:
    """Refuse what depends on the settings. Raises InvalidInputError."""
    limit = rules.max_content_bytes
    if len(draft.content) * 4 > limit and len(draft.content.encode()) > limit:
        raise InvalidInputError("content", draft.content, f"it may have {limit:,} bytes of UTF-8")
    wanted, given = rules.dimension, draft.embedding
    if wanted is not None and given is not None and len(given) != wanted:
        raise InvalidInputError("embedding", f"{len(given)} numbers", f"the store's embeddings have {wanted}")


def _decode(line: Line) -> str:
    raw = line.raw.removeprefix(UTF8_BOM) if line.number == 1 else line.raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if line.number == 1 and raw.startswith(UTF16_BOMS):
            raise LineError("it is UTF-16, and JSON lines are UTF-8") from error
        raise LineError(f"it is not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start + 1})") from error


def _load(text: str) -> dict[str, Any]:
    try:
        data = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise LineError(f"it is not valid JSON ({error.msg} at character {error.pos + 1})") from error
    except LineError:
        raise
    except ValueError as error:
        raise LineError("it holds a number with too many digits") from error
    if not isinstance(data, dict):
        raise LineError(f"it is {_kind(data)}, not a JSON object")
    return data


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what most parsers silently drop."""
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise LineError(f"the key {shorten(twice)} stands in it twice")
    return made


def _constant(name: str) -> NoReturn:
    raise LineError(f"{name} is not JSON")


def _default_user(data: dict[str, Any], rules: Rules) -> None:
    if rules.user_id is None:
        raise LineError("user_id is missing, and no --user was given")
    data["user_id"] = rules.user_id


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
