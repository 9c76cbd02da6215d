"""I8 of the design: many writers on few entities. On PostgreSQL `apply_writes` does what apply.cypher does."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from persistence import AsyncPersistenceService
from tests.faults.stores import ALICE, GRAPHS, Stores, vector

pytestmark = pytest.mark.parametrize("stores", GRAPHS, indirect=True)

SEED = 20_240_611
WRITERS, ENTITIES, OPERATIONS, MEMORIES = 8, 30, 2_000, 400


def _random_draft(rng: random.Random, memory_id: str) -> dict[str, Any]:
    """Return a memory that mentions two to four of the shared entities and relates some of them."""
    names = [f"Thing {number}" for number in rng.sample(range(ENTITIES), rng.randint(2, 4))]
    relations = [{"source": a, "type": "TOUCHES", "target": b} for a, b in itertools.pairwise(names)]
    return {
        "user_id": ALICE,
        "id": memory_id,
        "content": " and ".join(names),
        "entities": [{"name": name, "type": "Thing"} for name in names],
        "relationships": relations,
        "embedding": vector(rng.randrange(256)),
    }


async def _work(memories: AsyncPersistenceService, rng: random.Random, operations: int) -> None:
    for _ in range(operations):
        memory_id = f"m{rng.randrange(MEMORIES):04}"
        if rng.random() < 0.4:
            await memories.delete(memory_id, user_id=ALICE)
        else:
            await memories.store(**_random_draft(rng, memory_id))


async def test_i8_shared_entities_survive_eight_writers(stores: Stores) -> None:
    """I8: after 2,000 stores and deletes by eight writers on thirty entities no edge is lost, none orphaned, none dead.

    Guard: apply.cypher: entities that a memory no longer mentions are locked by a SET, in key order, before their
    mentions are counted; so of two that take the last mentions away the later one sees it.
    """
    async with stores.service(enable_relay=True) as memories:
        writers = [_work(memories, random.Random(SEED + n), OPERATIONS // WRITERS) for n in range(WRITERS)]
        await asyncio.gather(*writers)
        report = await memories.drain()
        assert (report.dead, report.pending) == (0, 0)
    await stores.assert_in_step()


async def test_i8_the_last_mention_takes_the_entity_along(stores: Stores) -> None:
    """I8: pairs of memories that share an entity of their own and are deleted at once leave no entity behind.

    Guard: as above; without the lock each of the two counts the other's mention.
    """
    pairs = 60
    async with stores.service() as memories:
        drafts = [_lonely(pair, side) for pair in range(pairs) for side in "ab"]
        await memories.store_many(drafts)
        for pair in range(pairs):
            await asyncio.gather(*(memories.delete(f"{pair}{side}", user_id=ALICE) for side in "ab"))
        await memories.drain()
    assert await stores.entities() == []
    await stores.assert_in_step()


def _lonely(pair: int, side: str) -> dict[str, Any]:
    entity = {"name": f"Only {pair}", "type": "Thing"}
    return {
        "user_id": ALICE,
        "id": f"{pair}{side}",
        "content": f"{pair} {side}",
        "entities": [entity],
        "relationships": [],
        "embedding": vector(pair),
    }
