"""Reads that a page makes: bounded in time, and None where a store did not give the answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from persistence.assembly import Parts
from persistence.errors import PersistenceError
from persistence.ports.graph import GraphStore
from persistence.ports.vector import VectorStore
from persistence.retry import Deadline

T = TypeVar("T")

#: Seconds that the reads of one page may take: whoever looks would rather see a gap than wait.
PAGE_TIME = 4.0


async def obtained(call: Coroutine[Any, Any, T]) -> T | None:
    """Return None where the answer could not be had; the store's own line in the log says why."""
    try:
        return await call
    except PersistenceError:
        return None


async def of_truth(parts: Parts, call: Callable[[VectorStore], Coroutine[Any, Any, T]]) -> T:
    """Ask truth. Raises VectorStoreError, DeadlineExceededError."""
    return await parts.truth.read(lambda: call(parts.truth.store), Deadline(PAGE_TIME))


async def of_graph(parts: Parts, call: Callable[[GraphStore], Coroutine[Any, Any, T]]) -> T:
    """Ask the graph. Raises GraphStoreError."""
    return await parts.graph.ask(call, Deadline(PAGE_TIME))
