"""The fenced code blocks of a page, in order, with what the comment before each one says of it.

<!-- not run: why -->      the next block cannot be run here
<!-- background -->        its one command goes on until the page ends; what the block shows has to be printed first
<!-- file name.py -->      the next block is a file that later commands find
<!-- prints -->            the next block, of the language `text`, is what the block before it printed
<!-- hidden python         a block that readers do not see: what stands around an example
…
-->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIECE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence) *$"
    r"|^ *<!-- hidden (?P<hidden>\w+)\n(?P<code>.*?)^ *-->"
    r"|^ *<!-- (?P<said>.*?) -->",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"

    @property
    def why_not(self) -> str | None:
        """Why it cannot be run; None where it can."""
        return self.said.removeprefix("not run: ") if self.said.startswith("not run: ") else None


def pages() -> list[str]:
    """Return the README and every page below docs/."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def blocks(page: str) -> list[Block]:
    """Return the page's blocks in order."""
    return list(found_in(page, (ROOT / page).read_text("utf-8")))


def found_in(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of a text; a comment belongs to the block that follows it with nothing but space between."""
    said, said_until = "", 0
    for piece in _PIECE.finditer(text):
        if piece["said"] is not None:
            said, said_until = piece["said"], piece.end()
            continue
        line = text.count("\n", 0, piece.start()) + 1
        if piece["hidden"]:
            yield Block(page, line, piece["hidden"], piece["code"])
            continue
        belongs = not text[said_until : piece.start()].strip()
        yield Block(page, line, piece["language"], _dedented(piece), said if belongs else "")


def _dedented(piece: re.Match[str]) -> str:
    return re.sub(f"^{piece['indent']}", "", piece["text"], flags=re.MULTILINE)
