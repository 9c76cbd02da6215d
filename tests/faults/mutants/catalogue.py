"""The list of guards: where each stands, how it is taken out, which tests must notice."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "guards"
#: In the order of the path that a write takes.
AREAS = ("write", "relay", "check", "repair", "rebuild", "leases", "adapters", "api")


class StaleError(Exception):
    """A guard is no longer where the list says: the code has changed, and the list has to follow."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One place: the text that is there, once, and the text that stands there without the guard."""

    file: str
    old: str
    new: str

    def done(self, text: str) -> str:
        """Return the file's text without the guard. Raises StaleError."""
        if (there := text.count(self.old)) != 1:
            raise StaleError(f"{self.file} holds {there} times, not once: {self.old!r}")
        if self.old == self.new:
            raise StaleError(f"{self.file} stays as it is: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Guard:
    """``breaks``: what goes wrong without it. ``tests`` must fail then; ``still`` must pass, so that all else works."""

    area: str
    name: str
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    still: tuple[str, ...]
    servers: frozenset[str]

    @property
    def file(self) -> str:
        """The file that it stands in."""
        return self.edits[0].file

    @property
    def asked(self) -> tuple[str, ...]:
        """Every test that is run."""
        return (*self.tests, *self.still)

    def without(self, root: Path) -> dict[str, str]:
        """Return the text of each file that it stands in, without it. Raises StaleError."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            texts[edit.file] = edit.done(texts.get(edit.file) or _text(root / edit.file))
        return texts


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise StaleError(f"There is no file {path.name} any more.") from None


def guards(folder: Path = FOLDER) -> list[Guard]:
    """Return all guards, area by area."""
    return [guard for area in AREAS for guard in _listed(area, folder / f"{area}.toml")]


def _listed(area: str, path: Path) -> Iterator[Guard]:
    for entry in tomllib.loads(path.read_text("utf-8"))["guard"]:
        yield _guard(area, entry)


def _guard(area: str, entry: Mapping[str, Any]) -> Guard:
    edits = [entry, *entry.get("also", ())]
    return Guard(
        area,
        entry["name"],
        entry["breaks"],
        tuple(Edit(edit.get("file", entry["file"]), edit["old"], edit["new"]) for edit in edits),
        tuple(entry["tests"]),
        tuple(entry["still"]),
        frozenset(entry.get("servers", ())),
    )


def chosen(asked: Sequence[str], listed: Iterable[Guard]) -> list[Guard]:
    """Return the guards of these names or areas, all where none is named. Raises LookupError for an unknown one."""
    listed = list(listed)
    if unknown := set(asked) - {word for guard in listed for word in (guard.area, guard.name)}:
        raise LookupError(f"There is no guard and no area {', '.join(sorted(unknown))}.")
    return [guard for guard in listed if not asked or {guard.area, guard.name} & set(asked)]
