"""What the extras bring: whoever imports what needs one, and does not have it, is told which it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_OURS = frozenset({"persistence", "sync", "api"})


def is_foreign(error: ModuleNotFoundError) -> bool:
    """Say whether what is missing is somebody else's library, and not a module of ours."""
    return (error.name or "").partition(".")[0] not in _OURS


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Say which extra brings a library that is missing in the block. Raises ModuleNotFoundError, as an import does.

    Where one block stands in another, the outer one is heard: it knows what was asked for.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_foreign(error):
            raise
        sentence = f'The library {error.name} is not installed. Try: pip install "diptych[{extra}]"'
        raise ModuleNotFoundError(sentence, name=error.name) from error
