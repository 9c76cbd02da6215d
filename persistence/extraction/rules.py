"""The extractor that needs no model: what can be recognised by spelling, capitals and a few plain phrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import anyio.lowlevel
import anyio.to_thread

from persistence.extraction.findings import Findings
from persistence.extraction.marks import take_marks
from persistence.extraction.names import names, statements
from persistence.ports.extractor import Extraction

#: Characters that are searched at once; a longer text is cut at a space.
PIECE = 65_536
#: Up to so many characters (well under a millisecond) a thread would cost more than it saves.
INLINE = 1_024


class RuleExtractor:
    """Finds Person, Organization, Email, Url, File, Mention, Tag and Issue, and a few plain statements.

    The statements are WORKS_AT, FOUNDED, KNOWS and HAS_EMAIL. It would rather miss something than make it up. A text
    gives 1,000 entities at most: the first ones.
    """

    @property
    def model(self) -> str:
        return "diptych-rules-1"

    async def extract(self, texts: Sequence[str]) -> list[Extraction]:
        found: list[Extraction] = []
        for batch, size in _batches(texts):
            if size <= INLINE:
                found += _extracted(batch)
                await anyio.lowlevel.checkpoint()
            else:
                found += await anyio.to_thread.run_sync(_extracted, batch)
        return found

    async def close(self) -> None:
        """Hold nothing, release nothing."""


def _batches(texts: Sequence[str]) -> Iterator[tuple[Sequence[str], int]]:
    """Yield runs of texts of about a piece's length, and the characters of each run."""
    start = size = 0
    for position, text in enumerate(texts):
        if position > start and size + len(text) > PIECE:
            yield texts[start:position], size
            start, size = position, 0
        size += len(text)
    if start < len(texts):
        yield texts[start:], size


def _extracted(texts: Sequence[str]) -> list[Extraction]:
    return [_extract(text) for text in texts]


def _extract(text: str) -> Extraction:
    findings = Findings()
    for piece in _pieces(text):
        _search(piece, findings)
        if findings.full:
            break
    return findings.extraction()


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PIECE:
        stop = text.rfind(" ", start + PIECE // 2, start + PIECE)
        stop = start + PIECE if stop < 0 else stop
        yield text[start:stop]
        start = stop
    yield text[start:] if start else text


def _search(text: str, findings: Findings) -> None:
    rest = take_marks(text, findings.add)
    for said in statements(rest, text):
        person = findings.add("Person", said.person) if said.person else None
        findings.relate(person, said.relation, findings.add(said.kind, said.other))
    for kind, name in names(rest):
        findings.add(kind, name)
