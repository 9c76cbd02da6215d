"""What the pages load besides themselves: style, scripts, icons; all of it is served from here."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

#: Files that are served; a name that is not here does not exist.
NAMES = ("style.css", "theme.js", "page.js", "icon.svg", "htmx.js", "sse.js")
_VENDORED = {"htmx.js": "vendor/htmx-2.0.11.min.js", "sse.js": "vendor/htmx-ext-sse-2.2.4.min.js"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, their type, and a tag that changes with them."""

    body: bytes
    media_type: str
    tag: str


def load_assets() -> Mapping[str, Asset]:
    """Read the files that the pages load."""
    folder = Path(__file__).parent / "static"
    return {name: _asset(folder / _VENDORED.get(name, name)) for name in NAMES}


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return Asset(body, kind or "application/octet-stream", blake2b(body, digest_size=6).hexdigest())
