"""I9 of the design: a tenant is a wall."""

from __future__ import annotations

from typing import Any

import pytest

from persistence import Key, MemoryNotFoundError, VersionConflictError
from tests.faults.stores import ALICE, BOB, PAIRS, Stores, draft, vector

pytestmark = pytest.mark.parametrize("stores", PAIRS, indirect=True)


def _twins(number: int) -> list[dict[str, Any]]:
    """Return the same memory under both tenants."""
    return [draft(number, user_id=user_id, content=f"{number} of {user_id}") for user_id in (ALICE, BOB)]


async def test_i9_the_same_id_under_two_tenants_is_two_memories(stores: Stores) -> None:
    """I9: nothing that one tenant does to an id, an entity or a relationship touches the other's of the same name.

    Guards: user_id stands in every key, match and merge: outbox, memories and tombstones (migrations), memory and
    entity nodes (apply.cypher).
    """
    async with stores.service() as memories:
        await memories.store_many([draft for number in range(6) for draft in _twins(number)])
        await memories.update("m0000", user_id=BOB, content="changed by Bob")
        await memories.delete("m0001", user_id=BOB)
        await memories.store(**draft(2, user_id=BOB, entities=[], relationships=[]))
        await memories.drain()
        await stores.assert_in_step()
        mine = await memories.get_all(user_id=ALICE)
        assert [memory.content for memory in mine.memories] == [f"{number} of alice" for number in range(6)]
        await memories.delete_all(user_id=BOB)
        assert (await memories.count(user_id=ALICE)).value == 6
        assert (await memories.count(user_id=BOB)).value == 0
        await memories.drain()
    assert {entity["user_id"] for entity in await stores.entities()} == {ALICE}
    await stores.assert_in_step()


async def test_i9_reads_stay_behind_the_wall(stores: Stores) -> None:
    """I9: no read of one tenant, through vectors, filters, pages or the graph, shows a memory of another.

    Guards: `user_id` is a condition of every statement that reads memories (reads.sql), of the walk in the graph
    (related.cypher), and of the look-up of what the graph found (Reader._hydrate).
    """
    async with stores.service() as memories:
        await memories.store_many([draft(number) for number in range(3)])
        await memories.store_many([draft(number, user_id=BOB, prefix="b") for number in range(9)])
        for number in range(9):
            for limit in (2, 50):
                found = await memories.search(vector(number), user_id=ALICE, limit=limit, expand=3)
                assert {hit.memory.user_id for hit in found} == {ALICE}
                assert len(found) >= min(limit, 3)
        related = await memories.related("m0000", user_id=ALICE, depth=5, limit=50)
        assert {hit.memory.user_id for hit in related} <= {ALICE}
        assert [memory.id for memory in (await memories.get_all(user_id=ALICE)).memories] == ["m0000", "m0001", "m0002"]


async def test_i9_another_tenants_memory_is_not_there(stores: Stores) -> None:
    """I9: what belongs to another tenant can't be told from what does not exist.

    Guard: the key of every statement is (user_id, id).
    """
    async with stores.service() as memories:
        version = (await memories.store(**draft(1, user_id=BOB))).version
        assert await memories.get("m0001", user_id=ALICE) is None
        assert await memories.neighbourhood("m0001", user_id=ALICE) is None
        assert not (await memories.delete("m0001", user_id=ALICE)).changed
        with pytest.raises(MemoryNotFoundError):
            await memories.update("m0001", user_id=ALICE, content="mine now")
        with pytest.raises(MemoryNotFoundError):
            await memories.related("m0001", user_id=ALICE)
        with pytest.raises(VersionConflictError) as caught:
            await memories.delete("m0001", user_id=ALICE, expected_version=version)
        assert caught.value.actual is None
        assert set(await stores.truth()) == {Key(BOB, "m0001")}
