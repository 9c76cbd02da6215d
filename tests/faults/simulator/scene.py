"""A simulated world for a story that is told step by step: no faults but those that the story brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar

from persistence import PersistenceConfig
from tests.faults.simulator.burial import bury
from tests.faults.simulator.clocks import EPOCH, simulated
from tests.faults.simulator.faults import Faults
from tests.faults.simulator.loop import PROCESS, Loop
from tests.faults.simulator.run import SETTINGS, quietly
from tests.faults.simulator.world import World

T = TypeVar("T")


def told(story: Callable[[World], Awaitable[None]], *, slots: int = 2, **settings: Any) -> list[str]:
    """Let a story happen in a world of its own; return which rules were broken."""
    return copy_context().run(_told, story, slots, settings)


def _told(story: Callable[[World], Awaitable[None]], slots: int, settings: dict[str, Any]) -> list[str]:
    loop = Loop(0, EPOCH)
    with quietly(), simulated(loop, 0):
        world = World(loop, Faults(0, 0), PersistenceConfig(**{**SETTINGS, **settings}), slots)
        for slot in world.slots:
            world.born(slot, 0)
        try:
            loop.run(story(world))  # type: ignore[arg-type]  # stories are coroutine functions
        finally:
            bury(loop)
    return world.oracle.broken


def stopping(world: World, slot: int, seconds: float, work: Callable[..., T]) -> Callable[..., T]:
    """Return some work that, done by a process for the first time, leaves that process stopped for a while."""
    left = [world.slots[slot]]

    def done(*args: Any) -> T:
        answer = work(*args)
        if left and PROCESS.get() is left[0].process:
            world.stop(left.pop(), seconds)
        return answer

    return done
