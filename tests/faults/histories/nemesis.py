"""What breaks things, by its seed: workers die and pause, servers die, and the network between them is bad."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.histories.processes import WorkerProcess
from tests.faults.histories.proxy import BOTH, DEAF_TO_ANSWERS, FINE, TO_CLIENT, TO_SERVER, Proxy, Weather

#: Every fault, and how often it comes. A server's death costs the most time, so there are fewer of them.
FAULTS: Mapping[str, int] = {
    "kill_worker": 5,
    "pause_worker": 4,
    "stop_truth": 3,
    "kill_graph": 2,
    "cut": 4,
    "reset": 4,
    "delay": 3,
    "drip": 3,
    "deaf": 3,
    "lost_answers": 4,
}


@dataclass
class Site:
    """A server, the proxy before it, and how it is made to die."""

    name: str
    server: Any
    proxy: Proxy
    die: Callable[[], Awaitable[None]]


@dataclass
class Nemesis:
    """Lets faults happen, several at once, at most one at each worker, server and proxy.

    ``pause``: for how many seconds a worker is stopped, at least and at most: beyond the lease of its writes.
    """

    chance: random.Random
    workers: list[WorkerProcess]
    truth: Site
    graph: Site
    pause: tuple[float, float]
    every: tuple[float, float] = (0.5, 4.0)
    done: Counter[str] = field(default_factory=Counter)
    log: Callable[[str], None] = lambda _: None
    _taken: set[str] = field(default_factory=set)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def storm(self, seconds: float) -> None:
        """Break things for so long; at the end all is whole again, and nobody has been told to rest."""
        self._over.clear()
        async with asyncio.TaskGroup() as group:
            end = asyncio.get_running_loop().time() + seconds
            while (now := asyncio.get_running_loop().time()) < end:
                await asyncio.sleep(min(self.chance.uniform(*self.every), end - now))
                self._strike(group)
            self._over.set()

    async def once(self, faults: Sequence[str], enough: Callable[[], Awaitable[None]]) -> None:
        """Let each of these faults happen once, as short as it can be; after each, and before, see ``enough`` work."""
        self._over.set()
        await enough()
        for fault in faults:
            await self._fault(fault, self._target(fault))
            await enough()

    def _strike(self, group: asyncio.TaskGroup) -> None:
        (fault,) = self.chance.choices([*FAULTS], [*FAULTS.values()])
        target = self._target(fault)
        name = self._place(fault, target)
        if name not in self._taken:
            self._taken.add(name)
            group.create_task(self._fault(fault, target)).add_done_callback(lambda _: self._taken.discard(name))

    def _target(self, fault: str) -> Any:
        if fault.endswith("_worker"):
            return self.chance.choice(self.workers)
        if fault in {"stop_truth", "kill_graph"}:
            return self.truth if fault == "stop_truth" else self.graph
        return self.chance.choice([self.truth, self.graph])

    def _place(self, fault: str, target: Any) -> str:
        """Return the name of what can only have one fault at a time."""
        if isinstance(target, Site):
            return f"{target.name} {'server' if fault in {'stop_truth', 'kill_graph'} else 'proxy'}"
        return f"worker {self.workers.index(target)}"

    async def _fault(self, fault: str, target: Any) -> None:
        self.log(f"{fault} {target.name}")
        await getattr(self, f"_{fault}")(target)
        self.done[fault] += 1

    async def _lasting(self, least: float, most: float) -> None:
        """Wait so long, or until the storm is over."""
        try:
            async with asyncio.timeout(self.chance.uniform(least, most)):
                await self._over.wait()
        except TimeoutError:
            return

    # --- workers and servers ------------------------------------------------------------------------------------

    async def _kill_worker(self, worker: WorkerProcess) -> None:
        await worker.kill()
        await self._lasting(0.0, 1.0)
        await worker.rise()
        worker.order("work")

    async def _pause_worker(self, worker: WorkerProcess) -> None:
        """Not cut short by the end of the storm: who wakes too early is no zombie."""
        worker.pause()
        try:
            await asyncio.sleep(self.chance.uniform(*self.pause))
        finally:
            worker.go_on()

    async def _stop_truth(self, site: Site) -> None:
        await site.die()
        await self._lasting(0.0, 4.0)
        await site.server.start()

    _kill_graph = _stop_truth

    # --- the network --------------------------------------------------------------------------------------------

    async def _cut(self, site: Site) -> None:
        site.proxy.cut()

    async def _reset(self, site: Site) -> None:
        site.proxy.cut(reset=True)

    async def _delay(self, site: Site) -> None:
        await self._weather(site, Weather(delay=self.chance.uniform(0.02, 0.6), ways=self._ways()))

    async def _drip(self, site: Site) -> None:
        await self._weather(site, Weather(delay=0.002, piece=self.chance.choice([16, 256, 1_024]), ways=self._ways()))

    async def _deaf(self, site: Site) -> None:
        """Let nothing pass; what was on its way arrives after all, late."""
        await self._weather(site, Weather(delay=math.inf, ways=self._ways()))

    async def _lost_answers(self, site: Site) -> None:
        """Lose answers with their connections; what was asked was done."""
        site.proxy.weather = DEAF_TO_ANSWERS
        await self._lasting(0.05, 1.0)
        site.proxy.cut(reset=True)
        site.proxy.weather = FINE

    async def _weather(self, site: Site, weather: Weather) -> None:
        site.proxy.weather = weather
        await self._lasting(0.5, 4.0)
        site.proxy.weather = FINE

    def _ways(self) -> frozenset[str]:
        return self.chance.choice([BOTH, frozenset({TO_SERVER}), frozenset({TO_CLIENT})])
