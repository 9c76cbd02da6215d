from __future__ import annotations

from persistence.graph.ordering import by_ends, by_identity
from persistence.ports.graph import GraphEdge, GraphEntity


def test_what_is_read_while_it_goes_can_be_sorted():
    """An entity that is being removed, or was edited by hand, has neither type nor key; its edges are sorted anyway."""
    gone, there = (None, None), ("Person", "ada")
    edges = [GraphEdge(source, "KNOWS", target, {}, "m1") for source in (there, gone) for target in (there, gone)]
    assert [(e.source, e.target) for e in by_ends(edges)] == [
        (gone, gone),
        (gone, there),
        (there, gone),
        (there, there),
    ]
    entities = [GraphEntity("Person", key, "", {}) for key in ("ada", None)]
    assert [entity.key for entity in by_identity(entities)] == [None, "ada"]
