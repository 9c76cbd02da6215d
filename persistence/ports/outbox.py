"""What the outbox lists: memories by their keys, and what becomes of an entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Key(NamedTuple):
    """A memory's identity."""

    user_id: str
    id: str


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A memory whose graph copy is in doubt. Holds no content.

    ``claim`` is the fencing token of the claim that returned it, 0 where it is not claimed. ``attempts`` counts this
    one. ``disabled``: written by a process without a graph. ``forced``: the graph is to write the memory anew though it
    says to have it.
    """

    user_id: str
    id: str
    entry_id: UUID
    version: int
    attempts: int
    created_at: datetime
    due_at: datetime
    claim: int = 0
    dead: bool = False
    disabled: bool = False
    reason: str | None = None
    forced: bool = False

    @property
    def key(self) -> Key:
        """The memory's identity."""
        return Key(self.user_id, self.id)


class Settlement(NamedTuple):
    """An entry whose memory is in step: removed only while entry and version are still these."""

    user_id: str
    id: str
    entry_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Postponement:
    """A claimed entry that could not be brought up: due again in ``delay`` seconds, or dead.

    Applied only while ``claim`` is still the entry's (the fence). ``give_back``: the attempt is not counted (an
    outage, or the failure of a batch the entry happened to be in).
    """

    user_id: str
    id: str
    entry_id: UUID
    claim: int
    delay: float
    reason: str
    give_back: bool = False
    dead: bool = False
