"""A request that is repeated under its idempotency key has to be the same request."""

from __future__ import annotations

from typing import Any

from api.http.models.memories import MemoryAsked
from persistence.errors import InvalidInputError
from persistence.records import Memory
from persistence.results import PersistenceResult


def refuse_another(asked: MemoryAsked, result: PersistenceResult, key: str) -> None:
    """Raise InvalidInputError where a key was given with another memory before.

    What is there under the key is compared, as far as it is still what was stored: one that was changed or deleted
    since tells nothing of the first request.
    """
    memory = result.memory
    if result.changed or memory is None or not _untouched(asked, memory):
        return
    if any(stored != given for stored, given in _pairs(asked, memory)):
        raise InvalidInputError("Idempotency-Key", key, "it was given with another memory before")


def _untouched(asked: MemoryAsked, memory: Memory) -> bool:
    """Say whether a memory is as it was stored first; one whose time was given does not tell."""
    return asked.created_at is None and memory.created_at == memory.updated_at


def _pairs(asked: MemoryAsked, memory: Memory) -> list[tuple[Any, Any]]:
    """Return what is there beside what was given; what was left to the extractor is not compared."""
    pairs: list[tuple[Any, Any]] = [
        (getattr(memory, name), getattr(asked, name)) for name in ("content", "agent_id", "run_id", "metadata")
    ]
    said = [name for name in ("entities", "relationships") if getattr(asked, name) is not None]
    return pairs + [(getattr(memory, name), getattr(asked, name)) for name in said]
