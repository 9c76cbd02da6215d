"""Reads: keys, pages, counts, changes."""

from __future__ import annotations

import pytest

from persistence.errors import VectorStoreError
from persistence.filters import Filter, make_filter
from persistence.ports.outbox import Key
from persistence.ports.vector import VectorStore
from tests.contract.vector.making import AT_ONCE, a_delete, a_write

EVERY = Filter()


async def test_read_of_nothing(store: VectorStore) -> None:
    """A key without memory and tombstone is not in the answer."""
    assert await store.read([Key("ada", "a")]) == {}
    assert await store.read([]) == {}


async def test_pages_in_code_point_order(store: VectorStore) -> None:
    """Pages come in code point order, whatever the server's language, and each memory once."""
    ids = ["Z", "a", "B", "é", "z", "-", "\U0001f600", "aa", "ﬀ"]
    await store.write_many([a_write(name) for name in ids], AT_ONCE)
    await store.write(a_write("other", "babbage"), AT_ONCE)
    seen: list[str] = []
    while page := await store.page("ada", after=seen[-1] if seen else None, limit=2, where=EVERY):
        seen += [memory.id for memory in page]
    assert sorted(ids) == seen


async def test_pages_hold_live_memories(store: VectorStore) -> None:
    """A deleted memory is on no page; embeddings come only where they are asked for."""
    await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
    await store.delete_many([a_delete("a")], AT_ONCE)
    (light,) = await store.page("ada", after=None, limit=9, where=EVERY)
    (whole,) = await store.page("ada", after=None, limit=9, where=EVERY, embeddings=True)
    assert (light.id, light.embedding) == ("b", None)
    assert whole.embedding is not None


async def test_pages_of_agent_and_run(store: VectorStore) -> None:
    """A page holds what its agent and its run wrote."""
    await store.write_many(
        [a_write(f"{a}{r}", agent_id=a or None, run_id=r or None) for a in ("", "x", "y") for r in ("", "1", "2")],
        AT_ONCE,
    )
    found = await store.page("ada", after=None, limit=99, where=make_filter(agent_id="x"))
    assert [memory.id for memory in found] == ["x", "x1", "x2"]
    found = await store.page("ada", after=None, limit=99, where=make_filter(agent_id="x", run_id="2"))
    assert [memory.id for memory in found] == ["x2"]


async def test_count(store: VectorStore) -> None:
    """Live memories are counted, of a tenant or of all, exactly up to the bound."""
    await store.write_many([a_write(str(i), user) for user in ("ada", "bob") for i in range(5)], AT_ONCE)
    await store.delete_many([a_delete("0")], AT_ONCE)
    mine, everyone, nobody = [await store.count(user) for user in ("ada", None, "nobody")]
    assert [(c.value, c.exact) for c in (mine, everyone, nobody)] == [(4, True), (9, True), (0, True)]
    assert not (await store.count(None, bound=3)).exact
    assert (await store.count("ada", bound=4)).exact


async def test_changes_from_the_beginning(store: VectorStore) -> None:
    """Without a cursor the feed is everything of the tenant, tombstones too, in pages of any size."""
    await store.write_many([a_write(f"{i:02}") for i in range(10)], AT_ONCE)
    await store.write(a_write("foreign", "babbage"), AT_ONCE)
    await store.delete_many([a_delete("03"), a_delete("07")], AT_ONCE)
    for limit in (1, 3, 12, 100):
        memories, tombstones, cursor, more = [], [], None, True
        while more:
            page = await store.changes("ada", cursor=cursor, limit=limit)
            memories += [memory.id for memory in page.memories]
            tombstones += [tombstone.id for tombstone in page.tombstones]
            cursor, more = page.cursor, page.more
        assert [f"{i:02}" for i in range(10) if i not in (3, 7)] == sorted(memories)
        assert sorted(tombstones) == ["03", "07"]


async def test_changes_since(store: VectorStore) -> None:
    """From a cursor on, what was written or deleted since comes, and what has not changed does not."""
    await store.write_many([a_write(name) for name in ("a", "b", "c:1")], AT_ONCE)
    start = await store.changes("ada", cursor=None, limit=99)
    quiet = await store.changes("ada", cursor=start.cursor, limit=99)
    assert (quiet.memories, quiet.tombstones) == ((), ())
    await store.write(a_write("a", content="new"), AT_ONCE)
    await store.delete_many([a_delete("c:1")], AT_ONCE)
    await store.write(a_write("d"), AT_ONCE)
    page = await store.changes("ada", cursor=quiet.cursor, limit=99)
    assert {("a", "new"), ("d", "content of d")} == {(m.id, m.content) for m in page.memories}
    assert [tombstone.id for tombstone in page.tombstones] == ["c:1"]


async def test_changes_between_pages(store: VectorStore) -> None:
    """What is written while a scan goes on comes in it or in the next one."""
    await store.write_many([a_write(f"{i:02}") for i in range(6)], AT_ONCE)
    page = await store.changes("ada", cursor=None, limit=4)
    await store.write(a_write(page.memories[0].id, content="new"), AT_ONCE)
    seen = []
    for _ in range(4):
        page = await store.changes("ada", cursor=page.cursor, limit=4)
        seen += [(memory.id, memory.content) for memory in page.memories]
    assert ("00", "new") in seen
    assert {"04", "05"} <= {name for name, _ in seen}


async def test_a_foreign_cursor(store: VectorStore) -> None:
    """A cursor that no feed gave is refused by type."""
    with pytest.raises(VectorStoreError):
        await store.changes("ada", cursor="nonsense", limit=1)
