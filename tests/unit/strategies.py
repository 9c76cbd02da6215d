"""Memories as Hypothesis makes them: any text, any property, names that meet in their keys."""

from __future__ import annotations

from hypothesis import strategies as st

from persistence.records import MemoryDraft, normalise, validated
from persistence.text import RESERVED_PREFIX, RESERVED_PROPERTIES, RESERVED_TYPES

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-400, 400).map(lambda e: float(f"1e{e % 308}"))


def texts(least: int = 0, most: int = 20) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=least, max_size=most)


#: Names of which many are one entity.
NAMES = st.sampled_from(
    ["Ada", "ADA", " ada ", "A\u0301da", "Ádá", "Ada\u00a0L", "ada l", "\ufb01", "FI", "ß", "SS"]
) | texts(1).filter(lambda name: bool(normalise(name)))
TYPES = st.sampled_from(["Person", "person", "`Place"]) | texts(1, 8).filter(
    lambda kind: kind not in RESERVED_TYPES and not kind.startswith(RESERVED_PREFIX)
)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | texts()
LISTS = st.lists(texts(), max_size=3) | st.lists(INTEGERS | FLOATS, max_size=3) | st.lists(st.booleans(), max_size=3)
KEYS = texts(1, 6)
PROPERTIES = st.dictionaries(KEYS.filter(lambda key: key not in RESERVED_PROPERTIES), SCALARS | LISTS, max_size=3)
METADATA = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6),
    max_size=3,
)
ENTITIES = st.lists(st.tuples(NAMES, TYPES, PROPERTIES), max_size=4)
IDS = texts(1)
CONTENTS = texts(1, 200)
EMBEDDINGS = st.none() | st.lists(st.integers(1, 100), min_size=1, max_size=4)


@st.composite
def _drafts(draw: st.DrawFn) -> MemoryDraft:
    entities = draw(ENTITIES)
    relationships = []
    if entities:
        ends = st.sampled_from(entities)
        relationships = draw(st.lists(st.tuples(ends, TYPES, ends, PROPERTIES), max_size=4))
    data = {
        "user_id": draw(IDS),
        "id": draw(IDS),
        "content": draw(CONTENTS),
        "metadata": draw(METADATA),
        "entities": [{"name": n, "type": t, "properties": p} for n, t, p in entities],
        "relationships": [
            {"source": s[0], "source_type": s[1], "type": t, "target": e[0], "target_type": e[1], "properties": p}
            for s, t, e, p in relationships
        ],
        "embedding": draw(EMBEDDINGS),
    }
    return validated(MemoryDraft, data)


#: Drafts with an id, whose entities collide now and then and whose relationships say which they mean.
DRAFTS = _drafts()
