"""The reference of all settings, made from the settings themselves.

``python -m api.cli._settings docs/reference/settings.md`` writes it anew into that file, behind the line ``MARKER``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api.http.settings import ApiConfig
from persistence.secretfiles import SUFFIX, is_secret
from persistence.settings import PersistenceConfig
from persistence.vector.qdrant.options import FolderOptions, Options

MARKER = "<!-- from here on made by `python -m api.cli._settings` -->\n"
_OF_A_SERVER = (
    "`qdrant://host:6333/collection?shard_number=3&replication_factor=2`. They count when the collection is made; what"
    " has no default here is left to the server.\n"
)


def reference() -> str:
    """Return a table for each place where settings are given."""
    return "\n".join(
        (
            "## Of a service\n",
            *_table(PersistenceConfig, lambda name: f"DIPTYCH_{name.upper()}"),
            "\n## Of the HTTP server\n",
            *_table(ApiConfig, lambda name: f"DIPTYCH_API_{name.upper()}"),
            "\n## Of a Qdrant server, in its URL\n",
            _OF_A_SERVER,
            *_table(Options, str),
            "\n## Of Qdrant's engine in this process, in its URL\n",
            "`qdrant:///folder?flush_every=5`\n",
            *_table(FolderOptions, str),
            "",
        )
    )


def _table(settings: type[BaseModel], named: Any) -> Iterator[str]:
    yield "| | | allowed | default |\n| --- | --- | --- | --- |"
    for name, field in settings.model_fields.items():
        variable = named(name)
        known = f"`{variable}`" + (f", or `{variable}{SUFFIX}`" if is_secret(field) else "")
        cells = (known, _cell(field.description or ""), _allowed(field), _default(field.default))
        yield f"| {' | '.join(cells)} |"


def _allowed(field: FieldInfo) -> str:
    if choices := getattr(field.annotation, "__args__", None):
        words = [f"`{one}`" for one in choices if isinstance(one, str)]
        if words:
            return ", ".join(words)
    bounds = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, sign in bounds.items()
        if hasattr(rule, name)
    ]
    return ", ".join(found)


def _default(value: Any) -> str:
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def renewed(page: str) -> str:
    """Return a page with what stands behind the marker made anew."""
    return page.partition(MARKER)[0] + MARKER + "\n" + reference()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
