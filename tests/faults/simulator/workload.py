"""What is asked for in a run: operations drawn from the seed before anything happens."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

TENANTS = ("ann", "bob", "cy")
IDS = ("a", "b", "c", "d")
ENTITIES = ("Ada", "Babbage", "Lovelace")


class Do(StrEnum):
    """One kind of operation."""

    STORE = "store"
    STORE_ONCE = "store with an idempotency key"
    STORE_MANY = "store many"
    UPDATE = "update"
    DELETE = "delete"
    DELETE_ALL = "delete all"
    GET = "get"
    LIST = "list"
    RELATED = "related"
    WAIT = "wait until in step"
    CHECK = "check"
    REPAIR = "repair"
    REBUILD = "rebuild"
    FULL = "full sync"
    CANCEL = "cancel a call"
    CANCEL_RUN = "cancel a run"
    CLOSE = "close"
    KILL = "kill"
    STOP = "stop"
    DAMAGE = "damage"
    OUTAGE = "outage"
    POISON = "poison"
    JUMP = "jump of truth's clock"


#: Out of what operations are drawn, and how often.
WEIGHTS: dict[Do, int] = {
    Do.STORE: 18,
    Do.STORE_ONCE: 3,
    Do.STORE_MANY: 6,
    Do.UPDATE: 14,
    Do.DELETE: 12,
    Do.DELETE_ALL: 1,
    Do.GET: 4,
    Do.LIST: 2,
    Do.RELATED: 2,
    Do.WAIT: 2,
    Do.CHECK: 9,
    Do.REPAIR: 5,
    Do.REBUILD: 5,
    Do.FULL: 2,
    Do.CANCEL: 3,
    Do.CANCEL_RUN: 1,
    Do.CLOSE: 2,
    Do.KILL: 4,
    Do.STOP: 2,
    Do.DAMAGE: 2,
    Do.OUTAGE: 2,
    Do.POISON: 1,
    Do.JUMP: 1,
}
WRITES = frozenset({Do.STORE, Do.STORE_ONCE, Do.STORE_MANY, Do.UPDATE, Do.DELETE})


@dataclass(frozen=True, slots=True)
class Op:
    """One operation. ``gap``: seconds before the next one. ``dice``: for whatever else there is to decide."""

    number: int
    do: Do
    slot: int
    user_id: str
    id: str
    gap: float
    dice: int

    def __str__(self) -> str:
        return f"{self.number}: {self.do} {self.user_id}/{self.id} in slot {self.slot}, then {self.gap:g} s"

    def pick(self, *among: Any, shift: int = 0) -> Any:
        """Choose by the operation's dice."""
        return among[(self.dice >> shift) % len(among)]


@dataclass(frozen=True, slots=True)
class Workload:
    """A run's settings and its operations. ``rate``: faults among 1,000 calls."""

    seed: int
    slots: int
    rate: int
    settings: dict[str, Any]
    ops: tuple[Op, ...]


def workload(seed: int, operations: int = 50) -> Workload:
    """Draw a run."""
    rng = random.Random(f"workload {seed}")
    slots = rng.choice((1, 2, 2, 3))
    settings = {
        "rollback_on_partial_failure": rng.random() < 0.25,
        "settle_delay": rng.choice((0.0, 0.05, 2.0)),
        "settle_batch": rng.choice((1, 2, 256)),
        "relay_batch": rng.choice((1, 2, 50)),
        "relay_attempts": rng.choice((2, 4)),
        "sync_batch": rng.choice((1, 2, 50)),
        "batch_size": rng.choice((1, 2, 50)),
        "breaker_failures": rng.choice((1, 3)),
        "retry_attempts": rng.choice((1, 3)),
    }
    kinds = list(WEIGHTS)
    # Runs of all kinds alike would hardly ever meet what takes three kills, or no deletes: each has its own mixture.
    weights = [WEIGHTS[kind] * rng.choice((0.0 if kind not in WRITES else 0.5, 0.3, 1.0, 1.0, 3.0)) for kind in kinds]
    users, ids = TENANTS[: rng.choice((1, 2, 3))], IDS[: rng.choice((1, 2, 4))]
    pace = rng.choice((0.0, 0.0, 0.02, 0.5))
    dense = rng.choice((0.0, 0.0, 0.8))
    ops = tuple(
        Op(
            number,
            rng.choices(kinds, weights)[0],
            rng.randrange(slots),
            rng.choice(users),
            rng.choice(ids),
            0.0 if dense > rng.random() else _gap(rng, pace),
            rng.getrandbits(48),
        )
        for number in range(operations)
    )
    return Workload(seed, slots, rng.choice((0, 5, 20, 60, 120)), settings, ops)


def _gap(rng: random.Random, pace: float) -> float:
    """Return mostly no time at all, so that operations overlap; now and then long enough for leases and tombstones."""
    dice = rng.random()
    if dice < 0.6:
        return 0.0 if dice < 0.3 else rng.random() * pace
    if dice < 0.9:
        return rng.random() * 3
    return rng.choice((6.0, 20.0, 70.0, 130.0)) if dice > 0.96 else rng.random() * 10
