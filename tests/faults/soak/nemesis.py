"""The faults: one every few seconds, chosen by the seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.faults.soak.proxy import Proxy

_KILL_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'diptych' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1
"""


@dataclass(frozen=True)
class Scene:
    """The servers, and the proxies before them."""

    postgres: Any
    neo4j: Any
    before_postgres: Proxy
    before_neo4j: Proxy


@dataclass
class Nemesis:
    """Does a fault every ``least`` to ``most`` seconds; ``done`` counts them, ``latest`` are those since the last look.

    A restarted server is away for seconds, so it comes seldom, and is left alone for ``rest`` seconds: one that was
    just started is slow to answer, and where something cuts in all the time nothing is ever answered.
    """

    scene: Scene
    seed: int
    least: float = 2.0
    most: float = 5.0
    restarts: float = 0.04
    rest: float = 20.0
    done: Counter[str] = field(default_factory=Counter)
    latest: list[str] = field(default_factory=list)

    async def run(self, calm: asyncio.Event) -> None:
        """Go on until it is calm; both servers run and answer at the end."""
        rng = random.Random(self.seed)
        seldom = {"restart postgres": self._restart_postgres, "kill neo4j": self._kill_neo4j}
        often: dict[str, Callable[[], Awaitable[None]]] = {
            "reset postgres": self._reset_postgres,
            "reset neo4j": self._reset_neo4j,
            "freeze postgres": lambda: _freeze(self.scene.postgres),
            "freeze neo4j": lambda: _freeze(self.scene.neo4j),
            "kill a backend": self._kill_backend,
        }
        while not await _calm(calm, rng.uniform(self.least, self.most)):
            kind = seldom if rng.random() < self.restarts else often
            name = rng.choice(sorted(kind))
            self.latest.append(name)
            await kind[name]()
            self.done[name] += 1
            if kind is seldom and await _calm(calm, self.rest):
                return

    async def _reset_postgres(self) -> None:
        self.scene.before_postgres.reset()

    async def _reset_neo4j(self) -> None:
        self.scene.before_neo4j.reset()

    async def _kill_backend(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.scene.postgres.url, autocommit=True) as connection:
            await connection.execute(_KILL_ONE)

    async def _restart_postgres(self) -> None:
        await self.scene.postgres.stop()
        await self.scene.postgres.start()

    async def _kill_neo4j(self) -> None:
        await self.scene.neo4j.kill()
        await self.scene.neo4j.start()


async def _freeze(server: Any) -> None:
    with server.frozen():
        await asyncio.sleep(1.0)


async def _calm(calm: asyncio.Event, seconds: float) -> bool:
    """Wait so long at most; say whether it is calm."""
    try:
        await asyncio.wait_for(calm.wait(), seconds)
    except TimeoutError:
        return False
    return True
