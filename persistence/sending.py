"""Whether a call on a store has sent anything yet: told by the store, asked by who ran out of time waiting for it.

A call that has waited all its time for a connection has changed nothing, and its caller may be told so. A store that
does not say when it waits is taken to have sent something.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Sending:
    """What is known of one attempt at one call, in whatever tasks it runs."""

    __slots__ = ("_sent", "_waits")

    def __init__(self) -> None:
        self._sent = False
        self._waits = False

    @property
    def nothing(self) -> bool:
        """Whether it is sure that nothing was sent."""
        return self._waits and not self._sent

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Note that the block only waits; what comes after it sends."""
        self._waits = True
        yield
        self._sent = True


_attempt: ContextVar[Sending | None] = ContextVar("attempt", default=None)


@contextmanager
def attempt() -> Iterator[Sending]:
    """Begin an attempt; the tasks that are made in the block are parts of it."""
    made = Sending()
    token = _attempt.set(made)
    try:
        yield made
    finally:
        _attempt.reset(token)


@contextmanager
def waiting() -> Iterator[None]:
    """Say, around waiting for a connection, that nothing is sent meanwhile."""
    with (_attempt.get() or Sending()).wait():
        yield
