"""One run: a world, a workload, calm, a verdict."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any

from persistence import PersistenceConfig
from tests.faults.simulator.acts import Acts
from tests.faults.simulator.burial import bury
from tests.faults.simulator.calm import calm
from tests.faults.simulator.clocks import EPOCH, simulated
from tests.faults.simulator.faults import Call, Fault, Faults
from tests.faults.simulator.loop import Loop, StuckError
from tests.faults.simulator.workload import Workload, workload
from tests.faults.simulator.world import World

#: Set for every run, so that things meet; what a seed varies is in its workload.
SETTINGS: dict[str, Any] = {
    "embedding_dimension": 2,
    "relay_interval": 20.0,
    "relay_backoff": 0.5,
    "relay_backoff_max": 8.0,
    "breaker_probe": 3.0,
    "tombstone_age": 60.0,
    "run_lease": 3.0,
    "sync_timeout": 30.0,
    "batch_timeout": 20.0,
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is run. ``ops``, ``faults``: only these of the seed's; None: all. ``order``: another order of callbacks."""

    seed: int
    operations: int = 50
    ops: AbstractSet[int] | None = None
    faults: AbstractSet[Call] | None = None
    order: int = 0

    def workload(self) -> Workload:
        """Return what is left of the seed's workload."""
        whole = workload(self.seed, self.operations)
        kept = tuple(op for op in whole.ops if self.ops is None or op.number in self.ops)
        return replace(whole, ops=kept)


@dataclass(slots=True)
class Verdict:
    """What became of a run. ``broken``: the rules that were, in the order in which it showed; none: all is well."""

    case: Case
    digest: str = ""
    steps: int = 0
    broken: list[str] = field(default_factory=list)
    injected: list[tuple[Call, str, Fault]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str | None:
        """Which rule was broken first."""
        return self.broken[0].split(":")[0] if self.broken else None


def run(case: Case, *, keep: bool = False) -> Verdict:
    """Run one case. ``keep``: with every event as a line."""
    with quietly():
        return copy_context().run(_run, case, keep)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the log, and with nothing collected but what `bury` collects: that runs code of the dead."""
    was, level = gc.isenabled(), logging.root.manager.disable
    gc.disable()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        if was:
            gc.enable()


def _run(case: Case, keep: bool) -> Verdict:  # noqa: FBT001  # called by a context
    plan = case.workload()
    loop = Loop(case.seed * 1_000 + case.order, EPOCH)
    faults = Faults(case.seed, plan.rate, case.faults)
    with warnings.catch_warnings(), simulated(loop, case.seed):
        warnings.simplefilter("ignore")  # a process that dies leaves coroutines that nobody awaits
        world = World(loop, faults, PersistenceConfig(**SETTINGS, **plan.settings), plan.slots, keep=keep)
        try:
            loop.run(_life(world, plan))
        except StuckError as error:
            world.oracle.broke("stuck", str(error))
        for sentence in loop.complaints():
            world.oracle.broke("errors", sentence)
        verdict = Verdict(
            case, world.trace.digest, loop.steps, list(world.oracle.broken), faults.injected, world.trace.lines
        )
        bury(loop)
        del world
    return verdict


async def _life(world: World, plan: Workload) -> None:
    acts = Acts(world)
    for slot in world.slots:
        world.born(slot, -2 - slot.number)
    await asyncio.sleep(0.1)
    for op in plan.ops:
        world.trace.add("op", op)
        acts.begin(op)
        await asyncio.sleep(op.gap)
        if world.oracle.broken:
            return
    await calm(acts)
