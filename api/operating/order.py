"""What an operator orders: a check, a repair, a full sync or a rebuild."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from persistence.ports.runs import Depth, RunKind
from sync import AsyncSyncService, CheckReport, Pace, RebuildReport, RepairReport, Strategy, SyncResult
from sync.asked import Once
from sync.model import OnProgress

Report = CheckReport | RepairReport | RebuildReport | SyncResult


@dataclass(frozen=True, slots=True)
class Order:
    """One order; a field means what the argument of that name in AsyncSyncService means. Dry unless said otherwise."""

    operation: RunKind
    depth: Depth = Depth.QUICK
    user_id: str | None = None
    ids: tuple[str, ...] | None = None
    run_id: UUID | None = None
    limit: int = 100
    dry_run: bool = True
    strategy: Strategy = Strategy.TRUTH_WINS
    force: bool = False
    clear_existing: bool = False
    re_extract: bool = False
    pace: Pace | None = None
    once: Once | None = None

    def under(self, key: str) -> Order:
        """Return the same order under a key: given again under it, it means the run that it began before."""
        asked = asdict(replace(self, once=None))
        text = json.dumps(asked, sort_keys=True, default=str)
        return replace(self, once=Once(key, hashlib.blake2b(text.encode(), digest_size=16).hexdigest()))

    def carry(self, sync: AsyncSyncService, tell: OnProgress) -> Awaitable[Report]:
        """Carry the order out. Raises what that call of the sync service raises."""
        match self.operation:
            case RunKind.CHECK:
                return self._check(sync, tell)
            case RunKind.REPAIR:
                return self._repair(sync, tell)
            case RunKind.FULL:
                return self._full(sync, tell)
            case RunKind.REBUILD:
                return self._rebuild(sync, tell)
            case RunKind.MOVE:
                raise ValueError("A move is no order: it needs both of its stores.")

    def _check(self, sync: AsyncSyncService, tell: OnProgress) -> Awaitable[Report]:
        return sync.check_consistency(
            self.depth,
            user_id=self.user_id,
            ids=self.ids,
            limit=self.limit,
            pace=self.pace,
            once=self.once,
            progress=tell,
        )

    def _repair(self, sync: AsyncSyncService, tell: OnProgress) -> Awaitable[Report]:
        return sync.repair_inconsistencies(
            self.depth,
            user_id=self.user_id,
            ids=self.ids,
            run_id=self.run_id,
            dry_run=self.dry_run,
            strategy=self.strategy,
            force=self.force,
            limit=self.limit,
            pace=self.pace,
            once=self.once,
            progress=tell,
        )

    def _full(self, sync: AsyncSyncService, tell: OnProgress) -> Awaitable[Report]:
        return sync.full_sync(
            self.depth,
            user_id=self.user_id,
            dry_run=self.dry_run,
            strategy=self.strategy,
            force=self.force,
            limit=self.limit,
            pace=self.pace,
            once=self.once,
            progress=tell,
        )

    def _rebuild(self, sync: AsyncSyncService, tell: OnProgress) -> Awaitable[Report]:
        return sync.rebuild_graph(
            user_id=self.user_id,
            clear_existing=self.clear_existing,
            re_extract=self.re_extract,
            dry_run=self.dry_run,
            force=self.force,
            pace=self.pace,
            once=self.once,
            progress=tell,
        )
