"""Search, and the filters that all reads share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from persistence.errors import EmbeddingMismatchError
from persistence.filters import Filter, make_filter
from persistence.ports.vector import VectorStore
from tests.contract.vector.making import AT_ONCE, a_delete, a_write, vector_of

EVERY = Filter()


async def test_nearest_first(store: VectorStore) -> None:
    """Hits come in the order of cosine similarity, which is exact, and of live memories of the tenant only."""
    names = [f"{i:02}" for i in range(50)]
    await store.write_many([a_write(name) for name in names], AT_ONCE)
    await store.write(a_write("foreign", "babbage", embedding=vector_of("query")), AT_ONCE)
    await store.write(a_write("gone", embedding=vector_of("query")), AT_ONCE)
    await store.delete_many([a_delete("gone")], AT_ONCE)
    query = vector_of("query").astype(np.float64)
    cosines = {}
    for name in names:
        vector = vector_of(name).astype(np.float64)
        cosines[name] = float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query))
    hits = await store.search("ada", vector_of("query"), limit=7, where=EVERY)
    assert sorted(cosines, key=lambda name: -cosines[name])[:7] == [memory.id for memory, _ in hits]
    assert [cosines[memory.id] for memory, _ in hits] == pytest.approx([score for _, score in hits], abs=1e-5)


async def test_ties_by_id(store: VectorStore) -> None:
    """Memories that are equally near come in the order of their ids."""
    await store.write_many([a_write(name, embedding=vector_of("same")) for name in "cdbae"], AT_ONCE)
    hits = await store.search("ada", vector_of("same"), limit=3, where=EVERY)
    assert [(m.id, pytest.approx(score)) for m, score in hits] == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


async def test_scores_are_cosines(store: VectorStore) -> None:
    """The score lies between -1 (opposite) and 1 (the same direction, whatever the length)."""
    await store.write_many(
        [a_write("far", embedding=-vector_of("q")), a_write("near", embedding=7 * vector_of("q"))], AT_ONCE
    )
    hits = await store.search("ada", vector_of("q"), limit=9, where=EVERY)
    assert [("near", pytest.approx(1)), ("far", pytest.approx(-1))] == [(memory.id, score) for memory, score in hits]
    assert all(-1 <= score <= 1 for _, score in hits)


async def test_few_and_none(store: VectorStore) -> None:
    """A search finds all there are where fewer than the limit match, and nothing for another tenant."""
    await store.write_many([a_write("a"), a_write("b")], AT_ONCE)
    assert len(await store.search("ada", vector_of("q"), limit=9, where=EVERY)) == 2
    assert await store.search("babbage", vector_of("q"), limit=9, where=EVERY) == []


async def test_a_filtered_search_returns_limit_rows(store: VectorStore) -> None:
    """Where enough memories match, a filtered search returns as many as were asked for, however rare they are."""
    writes = [a_write(f"{i:04}", metadata={"rare": i % 50 == 0}, agent_id=f"agent{i % 15}") for i in range(600)]
    await store.write_many(writes, AT_ONCE)
    rare = await store.search("ada", vector_of("q"), limit=12, where=make_filter(filters={"rare": True}))
    assert {f"{i:04}" for i in range(0, 600, 50)} == {memory.id for memory, _ in rare}
    agent = await store.search("ada", vector_of("q"), limit=40, where=make_filter(agent_id="agent7"))
    assert len(agent) == 40


async def test_search_with_a_wrong_dimension(store: VectorStore) -> None:
    """A query of another dimension is refused by type."""
    with pytest.raises(EmbeddingMismatchError):
        await store.search("ada", vector_of("q", 3), limit=1, where=EVERY)


DOCUMENTS: dict[str, dict[str, Any]] = {
    "number": {"x": 5},
    "float": {"x": 5.0},
    "larger": {"x": 5.5},
    "text": {"x": "5"},
    "upper": {"x": "B"},
    "lower": {"x": "a"},
    "accent": {"x": "é"},
    "true": {"x": True},
    "false": {"x": False},
    "null": {"x": None},
    "list": {"x": [5, "a", True, None]},
    "nested list": {"x": [[5]]},
    "object": {"x": {"y": 5}},
    "deep": {"x": {"y": {"z": "here"}}},
    "dotted": {"x.y": 5},
    "huge": {"x": 1e20},
    "exact": {"x": 2**53 + 1},
    "absent": {"other": 5},
    "empty": {},
}


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"x": 5}, {"number", "float"}),
    ({"x": 5.0}, {"number", "float"}),
    ({"x": "5"}, {"text"}),
    ({"x": True}, {"true"}),
    ({"x": None}, {"null"}),
    ({"x": 1e20}, {"huge"}),
    ({"x": 2**53 + 1}, {"exact"}),
    ({"x": 2**53}, set()),
    ({"x.y": 5}, {"object"}),
    ({"x.y.z": "here"}, {"deep"}),
    ({"x.0": 5}, set()),
    ({"x": {"ne": 5}}, set(DOCUMENTS) - {"number", "float"}),
    ({"x": {"in": [5, "a", None, False]}}, {"number", "float", "lower", "null", "false"}),
    ({"x": {"gt": 5}}, {"larger", "huge", "exact"}),
    ({"x": {"gte": 5, "lt": 6}}, {"number", "float", "larger"}),
    ({"x": {"lte": 5}}, {"number", "float"}),
    ({"x": {"gt": "B"}}, {"lower", "accent"}),
    ({"x": {"lte": "B"}}, {"upper", "text"}),
    ({"x": {"gte": "a", "lt": "z"}}, {"lower"}),
    ({"x": {"exists": True}}, set(DOCUMENTS) - {"absent", "empty", "dotted"}),
    ({"x": {"exists": False}}, {"absent", "empty", "dotted"}),
    ({"x.y": {"exists": True}}, {"object", "deep"}),
    ({"x": {"contains": 5}}, {"list"}),
    ({"x": {"contains": "a"}}, {"list"}),
    ({"x": {"contains": None}}, {"list"}),
    ({"x": {"contains": "b"}}, set()),
    ({"x": 5, "other": 5}, set()),
    ({"x' OR true --": 5}, set()),
    ({"%s{}%(x)s": {"exists": True}}, set()),
]


async def test_filters(store: VectorStore) -> None:
    """A filter means the same in a page and in a search: what the docstring of persistence.filters says."""
    await store.write_many([a_write(name, metadata=data) for name, data in DOCUMENTS.items()], AT_ONCE)
    for where, expected in CASES:
        condition = make_filter(filters=where)
        page = await store.page("ada", after=None, limit=99, where=condition)
        hits = await store.search("ada", vector_of("q"), limit=99, where=condition)
        assert expected == {memory.id for memory in page}, where
        assert expected == {memory.id for memory, _ in hits}, where
