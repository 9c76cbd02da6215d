"""The page of the errors: of each what it says, when it happens, what to do, and what HTTP makes of it."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path

from api.http.problems import OF_ERRORS
from persistence import bulk, errors
from persistence.errors import PersistenceError

TOLD: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("errors.toml").read_text("utf-8"))


def classes() -> list[type[PersistenceError]]:
    """Return every class of ours, in the order of its definition."""
    found = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, PersistenceError)]
    return [*found, bulk.BulkCancelledError]


def text() -> str:
    """Return a section for each class."""
    return "\n".join(line for one in classes() for line in _section(one))


def _section(one: type[PersistenceError]) -> Iterator[str]:
    yield f"### {one.__name__}\n"
    yield f"{(one.__doc__ or '').strip().splitlines()[0]}\n"
    yield f"- **When**: {TOLD[one.__name__]['when']}"
    yield f"- **What to do**: {_remedy(one)}"
    later = "can go well by itself" if getattr(one, "retryable", False) else "goes the same way"
    yield f"- **The same call later**: {later}."
    if kind := next((OF_ERRORS[base] for base in one.__mro__ if base in OF_ERRORS), None):
        yield f"- **Over HTTP**: {kind.status.value}, [`{kind.slug}`](problems.md)."
    bases = [base.__name__ for base in one.__bases__ if base is not Exception]
    if bases:
        yield f"- **Is also**: {', '.join(f'`{base}`' for base in bases)}."
    yield ""


def _remedy(one: type[PersistenceError]) -> str:
    hint = getattr(one, "default_hint", None)
    return f"{hint}." if hint else TOLD[one.__name__]["do"]
