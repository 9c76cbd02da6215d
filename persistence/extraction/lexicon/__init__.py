"""Lists of words that the rules go by, one file each: words separated by white space, ``#`` begins a comment."""

from __future__ import annotations

from importlib.resources import files


def lexicon(name: str) -> frozenset[str]:
    """Return the words of one list."""
    lines = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
