"""What happens to a call on a store: drawn from the seed and from which call it is, not from when it comes.

So a fault stays the same fault when other operations, or other faults, are left out: that is what shrinking needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

_MASK = (1 << 64) - 1
#: Seconds after which a request may still arrive though nobody waits for the answer any more.
LATEST = 90.0

#: Which operation the running code works for; the background of a process works for its birth.
OPERATION: ContextVar[int] = ContextVar("OPERATION", default=-1)


class Fault(StrEnum):
    """What can go wrong with one call."""

    NONE = "none"
    BEFORE = "fails before"
    CONFLICT = "undone by a conflict"
    AFTER = "fails after it was done"
    LOST = "hangs, and is never done"
    ZOMBIE = "hangs, and is done after the caller gave up"
    SLOW = "answers late"


#: Out of 100 faults. A hang costs its caller the whole deadline.
_KINDS = [
    *[Fault.BEFORE] * 25,
    *[Fault.CONFLICT] * 15,
    *[Fault.AFTER] * 25,
    *[Fault.LOST] * 8,
    *[Fault.ZOMBIE] * 12,
    *[Fault.SLOW] * 15,
]


#: What is asked when a process opens its stores.
OPENING = frozenset({"open", "info", "identify", "register_graph"})
HANGS = frozenset({Fault.LOST, Fault.ZOMBIE, Fault.SLOW})


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one call. ``there``, ``back``: seconds until it is done, and until the answer is there."""

    fault: Fault
    there: float = 0.0
    back: float = 0.0


#: Call number ``number`` of operation ``operation``: how a fault is named on the command line.
Call = tuple[int, int]


@dataclass
class Faults:
    """The faults of one run. ``rate``: of 1,000 calls. ``only``: no others than these calls fail; None: any."""

    seed: int
    rate: int
    only: AbstractSet[Call] | None = None
    calm: bool = False
    injected: list[tuple[Call, str, Fault]] = field(default_factory=list)
    _calls: Counter[int] = field(default_factory=Counter)

    def draw(self, name: str) -> Plan:
        """Say what becomes of the next call of the operation that is running."""
        operation = OPERATION.get()
        number = self._calls[operation]
        self._calls[operation] += 1
        dice = mixed(self.seed, operation, number)
        there, back = _latency(dice >> 40), _latency(dice >> 52)
        call = (operation, number)
        if self.calm or dice % 1_000 >= self.rate or (self.only is not None and call not in self.only):
            return Plan(Fault.NONE, there, back)
        fault = _KINDS[(dice >> 10) % 100]
        if name in OPENING and fault in HANGS:
            fault = Fault.BEFORE  # connecting has a time of its own in every adapter
        self.injected.append((call, name, fault))
        return self._plan(fault, there, back, dice >> 20)

    @staticmethod
    def _plan(fault: Fault, there: float, back: float, dice: int) -> Plan:
        long = 0.05 * 2 ** (dice % 12)  # 50 ms to 100 s
        if fault is Fault.ZOMBIE:
            return Plan(fault, min(long, LATEST), 0.0)
        if fault is Fault.SLOW:
            return Plan(fault, there, long) if dice & 0x1000 else Plan(fault, long, back)
        return Plan(fault, there, back)


def _latency(dice: int) -> float:
    """Return 0 for most calls (only their order varies), else up to 20 ms."""
    return 0.0 if dice & 7 else (dice >> 3 & 0xFF) / 12_750


def mixed(*numbers: int) -> int:
    """Return 64 bits that depend on all the numbers (splitmix64)."""
    value = 0
    for number in numbers:
        value = (value + number + 1) * 0x9E3779B97F4A7C15 & _MASK
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
    return value
