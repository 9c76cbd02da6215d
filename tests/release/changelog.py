"""CHANGELOG.md, taken apart: its sections, in the order in which they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.version import Version

UNRELEASED = "Unreleased"
_SECTION = re.compile(r"^## \[(?P<name>[^]]+)](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """What one version has changed; ``date`` is None for what is not released."""

    name: str
    date: str | None
    text: str

    @property
    def number(self) -> Version:
        """Return the version, to be compared."""
        return Version(self.name)


def sections(text: str) -> list[Section]:
    """Return the sections of a changelog, the newest first."""
    found = list(_SECTION.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [
        Section(one["name"], one["date"], text[one.end() : end].strip()) for one, end in zip(found, ends, strict=True)
    ]


def fault(text: str, version: str, *, releasing: bool = False) -> str | None:
    """Say what is wrong with a changelog in front of the project's version, None where nothing is.

    What is not released is what ``version`` will have; where it is being released, it has its section and its date.
    """
    newest, *released = sections(text)
    if newest.name != UNRELEASED or newest.date is not None:
        return "The first section is not [Unreleased]."
    if any(one.date is None for one in released):
        return "A version has no date."
    if [one.number for one in released] != sorted({one.number for one in released}, reverse=True):
        return "The versions are not in order, the newest first."
    return _of_version(version, newest, released, releasing=releasing)


def _of_version(version: str, newest: Section, released: list[Section], *, releasing: bool) -> str | None:
    last = released[0].name if released else None
    if released and released[0].number > Version(version):
        return f"{last} is released, and the project's version is {version}, an older one."
    if last == version and newest.text:
        return f"{version} is released, but [Unreleased] has changes: raise the project's version."
    if last != version and releasing:
        return f"{version} has no section: give [Unreleased] that name and a date, and begin a new one above it."
    if last != version and not newest.text:
        return f"Nothing is written of {version}."
    return None
