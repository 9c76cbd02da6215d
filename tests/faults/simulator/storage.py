"""Truth's storage and the graph of the simulated world, with the oracle looking at every change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from persistence.ports.capabilities import Capability
from persistence.ports.graph import GraphAck, GraphWrite
from persistence.ports.outbox import Key
from persistence.ports.runs import RunKind, RunState
from persistence.ports.vector import Tombstone
from persistence.vector.memory.run_rows import RunRow
from persistence.vector.memory.state import Table, Transaction
from persistence.vector.memory.storage import Storage
from tests.faults.simulator.oracle import Oracle
from tests.faults.simulator.ports import SharedGraph

T = TypeVar("T")

_LOOKED_AT = frozenset({Table.MEMORIES, Table.TOMBSTONES, Table.OUTBOX})


class WatchedStorage(Storage):
    """What there is of truth. ``clock``: microseconds since 1970, as truth's server sees them."""

    def __init__(self, oracle: Oracle, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self._oracle = oracle
        oracle.state = self.state

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities | {Capability.DURABLE, Capability.SHARED}

    @property
    def weaknesses(self) -> list[str]:
        return []

    def _changed(self, work: Callable[[Transaction], T]) -> T:
        tx = self.begin()
        answer = work(tx)
        self.state.apply(tx.effects)
        self._tell(tx)
        return answer

    def _tell(self, tx: Transaction) -> None:
        oracle = self._oracle
        oracle.events += 1
        keys: dict[Any, bool] = {}
        for place, row in tx.effects.items():
            if place.table in _LOOKED_AT:
                keys[place.key] = keys.get(place.key, False) or place.table is not Table.OUTBOX
            elif place.table is Table.RUNS and _rebuilt(row):
                oracle.refilled(row.id, row.user_id)
            elif place.table is Table.RUNS and row is not None and row.state in {RunState.CANCELLED, RunState.FAILED}:
                oracle.given_up(row.id, row.user_id)
        for key, written in keys.items():
            if written:
                oracle.truth_changed(key)
            oracle.look(key)


def _rebuilt(row: RunRow | None) -> bool:
    return row is not None and row.kind is RunKind.REBUILD and row.state is RunState.DONE


class WatchedGraph(SharedGraph):
    """The graph."""

    oracle: Oracle

    async def apply(self, writes: Sequence[GraphWrite], *, timeout: float) -> list[GraphAck]:
        acks = await super().apply(writes, timeout=timeout)
        keys = [
            Key(write.user_id, write.id) for write, ack in zip(writes, acks, strict=True) if ack.verdict == "applied"
        ]
        for key in keys:
            if self.oracle.damaged.get(key) == "edge":
                del self.oracle.damaged[key]
        self._tell(keys)
        return acks

    async def collect(self, tombstones: Sequence[Tombstone]) -> None:
        await super().collect(tombstones)
        self._tell([Key(gone.user_id, gone.id) for gone in tombstones])

    async def clear(self, user_id: str, *, limit: int, timeout: float) -> int:
        gone = await super().clear(user_id, limit=limit, timeout=timeout)
        if gone:
            self._emptied(user_id)
        self._tell([Key(user_id, name) for name in self._tenant(user_id).memories], cleared=True)
        return gone

    def _emptied(self, user_id: str) -> None:
        """Note under which rebuild a tenant is empty; one that is done already excuses nothing."""
        runs = self.oracle.state.rows(Table.RUNS).values()
        of_tenant = (run for run in runs if run.kind is RunKind.REBUILD and run.user_id == user_id)
        rebuilds = [run.id for run in of_tenant if not _rebuilt(run)]
        if rebuilds:
            self.oracle.emptied[user_id] = max(rebuilds)

    def _tell(self, keys: Sequence[Key], *, cleared: bool = False) -> None:
        self.oracle.events += 1
        self.oracle.graph_changed(keys, cleared=cleared)
