"""Files of variables: the example that says which there are, and the one that the stack is started with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from persistence.errors import ConfigurationError
from persistence.opening import plain

#: Where the example lies, below the folder of the stack; and what is made of it, which Compose reads by itself.
EXAMPLE = Path("deploy", "env.production.example")
ENV = Path(".env")

_ASSIGNMENT = re.compile(r"^(?P<optional>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.ASCII)
_PLACEHOLDER = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the example. ``text``: its line, with the comment above it."""

    name: str
    value: str
    optional: bool
    text: str


def variables(example: str) -> tuple[Variable, ...]:
    """Return the variables of an example in their order; one whose line begins with ``#`` is optional."""
    return tuple(_variables(example))


def _variables(example: str) -> Iterator[Variable]:
    above: list[str] = []
    for line in example.splitlines():
        above = [*above, line] if line.strip() else []
        if found := _ASSIGNMENT.match(line):
            yield Variable(found["name"], found["value"], bool(found["optional"]), "\n".join(above))
            above = []


def is_placeholder(value: str) -> bool:
    """Say whether a value, or a part of it, is still to be filled in."""
    return _PLACEHOLDER.search(value) is not None


def filled(example: str, values: Mapping[str, str]) -> str:
    """Return the example with values of ours in the lines of those variables."""
    return "".join(_line(line, values) + "\n" for line in example.splitlines())


def _line(line: str, values: Mapping[str, str]) -> str:
    found = _ASSIGNMENT.match(line)
    return f"{found['name']}={values[found['name']]}" if found and found["name"] in values else line


def read_text(path: Path) -> str:
    """Return what a file says. Raises ConfigurationError."""
    try:
        with open(path, encoding="utf-8", opener=plain) as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {why}.") from error


def read_example(folder: Path) -> str:
    """Return the example of a checkout. Raises ConfigurationError."""
    path = folder / EXAMPLE
    if not path.exists():
        raise ConfigurationError(
            f"There is no {path}.", hint="run this in a checkout of diptych, or name its folder by --folder"
        )
    return read_text(path)


def read_env(folder: Path) -> dict[str, str]:
    """Return the variables that the stack is started with; one without ``=`` counts as empty.

    Raises ConfigurationError.
    """
    path = folder / ENV
    if not path.exists():
        raise ConfigurationError(f"There is no {path}.", hint="diptych config generate --name NAME")
    found = dotenv_values(stream=StringIO(read_text(path)), interpolate=False)
    return {name: value or "" for name, value in found.items()}
