"""A look at all of a truth that stands still while others go on writing: what a backup reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from persistence.ports.checking import Head, Span
from persistence.ports.outbox import Key, OutboxEntry
from persistence.ports.runs import InconsistencyQuery, Recorded, Run, RunQuery
from persistence.results import Count

if TYPE_CHECKING:  # the port of the truth speaks of this one
    from persistence.ports.vector import StoreInfo, Tombstone, Truth


class Reader(Protocol):
    """The reading calls of a truth, which all answer of one moment, where the truth has ``SNAPSHOT_READS``.

    Where it has not, each answers of the moment at which it is asked. One call at a time; after an error other than a
    refusal of what was asked, the reader is of no more use.
    """

    async def info(self) -> StoreInfo: ...
    async def count(self, user_id: str | None, *, bound: int = 100_000) -> Count: ...
    async def bucket_rows(self, user_id: str | None, spans: Sequence[Span]) -> list[Head]: ...
    async def read(self, keys: Sequence[Key], *, embeddings: bool = False) -> dict[Key, Truth]: ...
    async def tombstones(self, user_id: str | None, *, after: Key | None, limit: int) -> list[Tombstone]: ...
    async def outbox_page(
        self, *, dead: bool | None, after: Key | None, limit: int, user_id: str | None = None
    ) -> list[OutboxEntry]: ...
    async def runs(self, query: RunQuery, *, before: UUID | None = None, limit: int = 100) -> list[Run]: ...
    async def inconsistencies(
        self, query: InconsistencyQuery, *, after: int = 0, limit: int = 100
    ) -> list[Recorded]: ...
