"""The errors: what each says, and the tree in the module's docstring."""

from __future__ import annotations

import inspect
import re

import pytest

from persistence import errors
from persistence.errors import (
    MAX_SHOWN,
    InvalidInputError,
    MemoryNotFoundError,
    PersistenceError,
    VersionConflictError,
    shorten,
)

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, PersistenceError)]
PLAIN = [c for c in CLASSES if "__init__" not in vars(c) or c is PersistenceError]


def test_the_tree_in_the_docstring_is_the_tree():
    """The drawing in the module's docstring names every class under its base."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)(\w+Error)\b", line):
            depth = (len(found[1]) - 4) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {c.__name__: c.__bases__[0].__name__ for c in CLASSES}


@pytest.mark.parametrize("kind", PLAIN)
def test_the_docstring_is_the_default_message(kind):
    """An error without a message says what its class says."""
    error = kind()
    assert str(error) == error.message == inspect.getdoc(kind).splitlines()[0]
    assert error.hint == kind.default_hint
    assert str(kind("Something else.")) == "Something else."
    assert kind(hint="Do this.").hint == "Do this."


@pytest.mark.parametrize(("kind", "builtin"), [(InvalidInputError, ValueError), (MemoryNotFoundError, LookupError)])
def test_some_errors_are_also_pythons(kind, builtin):
    """Code that does not know us can still catch what it expects."""
    assert issubclass(kind, builtin)


def test_whether_a_retry_makes_sense_is_said_by_the_class():
    """Outages and conflicts pass by themselves; refusals, and unknown outcomes, do not."""
    assert {c.__name__ for c in CLASSES if c.retryable} == {
        "BulkInterruptedError",
        "DeadlineExceededError",
        "VectorStoreUnavailableError",
        "VectorStoreConflictError",
        "GraphUnavailableError",
        "GraphConflictError",
        "GraphWriteExpiredError",
        "EmbeddingUnavailableError",
        "ExtractionUnavailableError",
        "TooManyRunsError",
    }


def test_a_version_conflict_says_both_versions():
    """The message tells a newer version from a memory that is gone."""
    assert str(VersionConflictError(3, 5)) == "Version 3 was expected, but the memory is at version 5."
    assert str(VersionConflictError(3, None)) == "Version 3 was expected, but the memory does not exist."


@pytest.mark.parametrize("value", ["x" * 10**7, b"x" * 10**7, ["x" * 10**6] * 10, list(range(10**6)), 10**4_000])
def test_what_is_shown_is_short(value):
    """However large a value, what a message shows of it is short."""
    assert len(shorten(value)) <= MAX_SHOWN
    assert len(str(InvalidInputError("f", value, "it must be short"))) < 150


def test_what_is_shown_can_be_printed():
    """Lone surrogates and control characters are shown escaped."""
    assert shorten("a\ud800\0\x1b[31m").encode().isascii()


def test_of_what_is_large_only_the_beginning_is_written_down() -> None:
    """A refusal of a long and nested value writes down as much of it as it shows, and no more."""
    written = 0

    class Item:
        def __repr__(self) -> str:
            nonlocal written
            written += 1
            return "x"

    value = {"many": [[Item()] * 1_000] * 1_000}
    shown = str(InvalidInputError("metadata", value, "no"))
    assert shown.startswith("metadata: {'many': [[x, x, ")
    assert written < MAX_SHOWN


@pytest.mark.parametrize("value", [{}, [], (), {"a": [1, (2,), {"b": None}]}, "it's", b"it", [["x"] * 3], 1.5])
def test_what_is_short_is_written_down_whole(value: object) -> None:
    """A short value is shown as Python shows it."""
    assert shorten(value) == repr(value)
