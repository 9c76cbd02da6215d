"""The page of the Python API: every public name of `persistence` and `sync`, with its signature and what it says."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from typing import Any

import persistence
import sync


def text() -> str:
    """Return a part for each package."""
    return "\n".join(line for package in (persistence, sync) for line in _package(package))


def _package(package: Any) -> Iterator[str]:
    yield f"## `{package.__name__}`\n"
    yield f"{_words(package.__doc__)}\n"
    for name in package.__all__:
        one = getattr(package, name)
        if not (inspect.isclass(one) and issubclass(one, BaseException)):  # errors have a page of their own
            yield from _name(name, one)


def _name(name: str, one: Any) -> Iterator[str]:
    yield f"### `{name}`\n"
    if inspect.isclass(one):
        yield f"{_words(one.__doc__)}\n"
        yield from _members(one)
    elif inspect.isfunction(one):
        yield f"`{name}{_signature(one)}`\n"
        yield f"{_words(one.__doc__)}\n"
    else:
        yield f"`{str(one).replace('collections.abc.', '')}`\n"


def _members(one: type) -> Iterator[str]:
    if issubclass(one, enum.Enum):
        yield f"One of {', '.join(f'`{each.name}`' for each in one)}.\n"
        return
    fields = getattr(one, "model_fields", None) or getattr(one, "__dataclass_fields__", {})
    if fields:
        yield f"Fields: {', '.join(f'`{name}`' for name in fields if not name.startswith('_'))}.\n"
    for name, method in vars(one).items():
        if _is_ours(name, method):
            called = inspect.unwrap(getattr(method, "__func__", method))
            yield f"- `{name}{_signature(called)}`: {_words(method.__doc__ or '')}"
    yield ""


def _is_ours(name: str, method: Any) -> bool:
    plain = inspect.isfunction(method) or isinstance(method, classmethod | staticmethod)
    return plain and not name.startswith(("_", "model_"))


def _signature(called: Any) -> str:
    parameters = [
        one.replace(annotation=inspect.Parameter.empty) for one in inspect.signature(called).parameters.values()
    ]
    return str(inspect.Signature([one for one in parameters if one.name not in {"self", "cls"}]))


def _words(text: str | None) -> str:
    return " ".join((text or "").split()).replace("<", "&lt;")
