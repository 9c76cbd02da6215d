"""The end of a world: what is left of its tasks is taken apart where nothing that they still do reaches anything.

A process that dies runs no code any more. Python does not know that: a coroutine that is thrown away runs its
``finally`` blocks, whenever the collector finds it. So nothing is thrown away while the world goes on, and at its end
everything at once, on a loop that is closed.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

from tests.faults.simulator.loop import Loop

#: How often a coroutine is told to end; each time it may await once more, and is not answered.
TIMES = 50


def bury(loop: Loop) -> None:
    """Close every coroutine of a loop, and collect what held them."""
    loop.close()
    hook, sys.unraisablehook = sys.unraisablehook, _say_nothing
    asyncio._set_running_loop(loop)
    try:
        for task in loop.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own name
                _close(task.get_coro())
        loop.tasks.clear()
        gc.collect()
    finally:
        asyncio._set_running_loop(None)
        sys.unraisablehook = hook


def _close(coroutine: Any) -> None:
    for _ in range(TIMES):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001, S112  # what a dead process says nobody hears
            continue
        return


def _say_nothing(_: Any) -> None:
    """Let the dead be silent."""
