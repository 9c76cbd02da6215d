"""The templates: everything is escaped, and what cannot be seen is made visible."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.dashboard import words

#: Controls, and characters that turn text around or take no room; joiners stay, because emoji are made with them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_LINES = "\n\t"
SHORT = 40


def shown(text: object) -> str:
    """Return text on one line with a visible code in the place of each character that shows nothing itself."""
    return _HIDDEN.sub(_code, str(text))


def prose(text: object) -> str:
    """Return the same with its line breaks."""
    return _HIDDEN.sub(lambda match: match[0] if match[0] in _LINES else _code(match), str(text))


def short(text: object, length: int = SHORT) -> str:
    """Return text that shows, cut in the middle: ids differ at their ends."""
    whole = shown(text)
    if len(whole) <= length:
        return whole
    tail = length // 3
    return f"{whole[: length - tail - 1]}…{whole[-tail:]}"


def query(**values: Any) -> str:
    """Return values as the query of a URL, those that are None left out."""
    return urlencode({name: str(value) for name, value in values.items() if value is not None})


def entry_value(user_id: str, memory_id: str) -> str:
    """Return a memory's identity as one value of a form."""
    return json.dumps([user_id, memory_id])


def make_environment() -> Environment:
    """Make the environment of all templates."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters |= {
        "shown": shown,
        "prose": prose,
        "short": short,
        "ago": words.ago,
        "span": words.span,
        "clock": words.clock,
        "iso": words.iso,
        "noun": words.number,
        "pretty": lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    }
    env.globals |= {"query": query, "entry_value": entry_value, "words": words, "now": lambda: datetime.now(UTC)}
    return env


def _code(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match[0]):04X}⟩"
