"""What people do who have no check: one SELECT and one MATCH a memory, one memory after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.results import Line
from benchmarks.sync.stage import Stage
from benchmarks.sync.timing import timed
from persistence import Key

LOOKED_AT = 2_000
WARM_UP = 200

_SELECT = "SELECT version, digest FROM memories WHERE user_id = %s AND id = %s"
_MATCH = "MATCH (m:DiptychMemory {user_id: $user_id, id: $id}) RETURN m.version AS version, m.digest AS digest"


@dataclass(frozen=True, slots=True)
class Singly:
    """``each``: the seconds that one memory takes, of ``memories`` that there are."""

    each: float
    memories: int

    def line(self, check: float) -> Line:
        """Return the time for all of them, beside that of a check."""
        seconds = self.each * self.memories
        return Line("one by one, extrapolated", {"seconds": seconds, "to_check": seconds / check})

    @property
    def note(self) -> str:
        """What was extrapolated."""
        rate = 1 / self.each
        return (
            f"one by one: two statements each, extrapolated from {LOOKED_AT:,} memories, {rate:,.0f} of them a second"
        )


async def measure(stage: Stage) -> Singly:
    """Look at some memories of all tenants."""
    keys = await stage.sample(stage.plan.tenants, LOOKED_AT, stage.plan.seed + 1)
    await _look_at(stage, keys[:WARM_UP])
    return Singly(await timed(lambda: _look_at(stage, keys)) / len(keys), stage.plan.memories)


async def _look_at(stage: Stage, keys: Sequence[Key]) -> None:
    async with stage.driver.session() as session:
        for key in keys:
            vector = await (await stage.db.execute(_SELECT, key)).fetchone()
            found = await session.run(_MATCH, {"user_id": key.user_id, "id": key.id})
            graph = await found.single(strict=True)
            if vector != (graph["version"], graph["digest"]):
                raise RuntimeError(f"{key} is not in step")
