"""The fragment of a memory: what it owns in the graph, and the digest of that."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.projection import CAPTION, bucket, caption, project
from persistence.records import Entity, MemoryDraft, Relationship, validated
from tests.unit.strategies import DRAFTS


def draft(entities: list[dict[str, Any]] | None = None, relationships: list[dict[str, Any]] | None = None, **other):
    given_fields = {"user_id": "u1", "id": "m1", "content": "Ada works at Babbage & Co."}
    return validated(
        MemoryDraft, {**given_fields, "entities": entities or [], "relationships": relationships or [], **other}
    )


def entity(name: str, kind: str = "Person", **properties: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "properties": properties}


def knows(source: str, target: str, **properties: Any) -> dict[str, Any]:
    return {"source": source, "type": "KNOWS", "target": target, "properties": properties}


def reversed_keys(properties: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(properties.items()))


@given(DRAFTS, st.integers(0, 2**32))
def test_order_does_not_matter(memory, seed):
    """Entities, relationships and keys may be given in any order: the fragment and its digest are the same."""
    shuffle = random.Random(seed)
    entities = [e.model_copy(update={"properties": reversed_keys(e.properties)}) for e in memory.entities]
    relationships = [r.model_copy(update={"properties": reversed_keys(r.properties)}) for r in memory.relationships]
    shuffle.shuffle(entities)
    shuffle.shuffle(relationships)
    other = memory.model_copy(update={"entities": tuple(entities), "relationships": tuple(relationships)})
    assert project(other) == project(memory)


@given(DRAFTS)
def test_saying_it_twice_changes_nothing(memory):
    """A statement made twice is one edge, an entity named twice is one mention."""
    twice = memory.model_copy(update={"entities": memory.entities * 2, "relationships": memory.relationships * 2})
    assert project(twice) == project(memory)


@given(DRAFTS)
def test_digest_and_bucket_have_their_widths(memory):
    """A digest fits a signed 64-bit column, a bucket 24 bits."""
    fragment = project(memory)
    assert fragment.digest in range(2**63)
    assert fragment.bucket in range(2**24)


def jsonb(value: Any) -> Any:
    """Read back what a JSON store that keeps numbers as decimals would: 1e+22 as its digits, an integer."""

    def number(text: str) -> float:
        digits = format(Decimal(text), "f")
        return float(digits) if "." in digits else int(digits)

    return json.loads(json.dumps(value), parse_float=number)


@given(DRAFTS)
def test_the_digest_survives_the_truth_store(memory):
    """What comes back from a JSON store has the digest of what went in, large floats and negative zeros included."""
    stored = memory.model_copy(
        update={
            "entities": tuple(
                Entity.model_construct(**{**dict(e), "properties": jsonb(e.properties)}) for e in memory.entities
            ),
            "relationships": tuple(
                Relationship.model_construct(**{**dict(r), "properties": jsonb(r.properties)})
                for r in memory.relationships
            ),
        }
    )
    assert project(stored).digest == project(memory).digest


@pytest.mark.parametrize("number", [1.0, -0.0, 2.0**53, 2.0**60, 1e22, 1e23, 1.7e308, 5e-324, 0.1, 123456789.125])
def test_the_digest_of_one_number_survives(number):
    """Each kind of float has one canonical form, before and after."""
    before = project(draft([entity("Ada", n=number, many=[number, 0.5])]))
    stored = Entity.model_construct(
        name="Ada", type="Person", properties={"n": jsonb(number), "many": [jsonb(number), 0.5]}
    )
    assert before.digest == project(draft().model_copy(update={"entities": (stored,)})).digest


def test_large_integers_are_told_apart():
    """Two integers that are one float are two values."""
    one, two = (project(draft([entity("Ada", n=2**60 + i)])) for i in (0, 1))
    assert one.digest != two.digest


def test_true_is_not_one():
    """A boolean is told apart from the number that Python takes it for."""
    assert project(draft([entity("Ada", n=True)])).digest != project(draft([entity("Ada", n=1)])).digest


def test_mentions_are_sorted_by_type_and_key():
    """Mentions stand in the order of (type, key); edges name them by position."""
    fragment = project(draft([entity("bob"), entity("Ada"), entity("Zed", "Cat")], [knows("bob", "Ada", since=1)]))
    assert [(m.type, m.key) for m in fragment.mentions] == [("Cat", "zed"), ("Person", "ada"), ("Person", "bob")]
    assert [(e.source, e.type, e.target, e.properties) for e in fragment.edges] == [(2, "KNOWS", 1, {"since": 1})]


def test_entities_of_one_identity_are_one_mention():
    """Spellings of one name are one entity; of two values of one property the canonically last one stays."""
    fragment = project(draft([entity("Ada", role="b", a=1), entity(" ADA ", role="c"), entity("ada", x=None)]))
    (mention,) = fragment.mentions
    assert (mention.key, mention.name) == ("ada", " ADA ")
    assert mention.properties == {"role": "c", "a": 1}


def test_names_on_nodes_are_not_in_the_digest():
    """The display name is the newest writer's and outside the contract."""
    assert project(draft([entity("Ada")])).digest == project(draft([entity("ADA")])).digest


def test_nulls_are_absent():
    """In a graph a null property is no property."""
    fragment = project(draft([entity("Ada", a=None), entity("Bob")], [knows("Ada", "Bob", b=None)]))
    assert not fragment.mentions[0].properties
    assert not fragment.edges[0].properties
    assert fragment.digest == project(draft([entity("Ada"), entity("Bob")], [knows("Ada", "Bob")])).digest


def test_different_statements_between_the_same_ends_are_different_edges():
    """Two edges of one type and the same ends are told apart by what they say."""
    people = [entity("Ada"), entity("Bob")]
    said = [knows("Ada", "Bob", since=1), knows("Ada", "Bob", since=2), knows("ada", "BOB", since=1.0)]
    assert [e.properties["since"] for e in project(draft(people, said)).edges] == [1, 2]


def test_a_type_chooses_between_entities_of_one_name():
    """Where two types share a name, an edge goes to the one it says."""
    both = [entity("Ada", "Language"), entity("Ada", "Person"), entity("Bob")]
    fragment = project(draft(both, [{**knows("Bob", "Ada"), "target_type": "Person"}]))
    assert fragment.mentions[fragment.edges[0].target].type == "Person"


@pytest.mark.parametrize(
    "change",
    [
        {"content": "other"},
        {"agent_id": "a"},
        {"run_id": "a"},
        {"id": "m2"},
        {"user_id": "u2"},
        {"entities": []},
        {"entities": [entity("Ada", role="x")]},
        {"entities": [entity("Ada", "Cat")]},
    ],
)
def test_whatever_shows_in_the_graph_changes_the_digest(change):
    """A difference that the graph shows is a difference of the digest."""
    assert project(draft([entity("Ada")])).digest != project(draft(**{"entities": [entity("Ada")], **change})).digest


def test_fields_cannot_run_into_each_other():
    """An agent is no run, and the end of one id is not the beginning of another."""
    assert project(draft(agent_id="a")).digest != project(draft(run_id="a")).digest
    assert bucket("a", "bc") != bucket("ab", "c")


def test_what_does_not_show_does_not_change_the_digest():
    """Metadata and the embedding are not in the graph."""
    assert project(draft()).digest == project(draft(metadata={"a": 1}, embedding=[1.0])).digest


def test_the_format_of_digest_and_bucket_is_pinned():
    """What is stored in two databases does not change by accident: a new format needs new versions in truth."""
    fragment = project(
        draft(
            [entity("Ada", role="author", born=1815, height=1.0), entity("Babbage & Co.", "Organization")],
            [{**knows("Ada", "Babbage & Co.", since=1843, names=["é", "\u2028"]), "type": "WORKS_AT"}],
            agent_id="a1",
        )
    )
    canonical = (
        '["u1","m1","Ada works at Babbage & Co.","a1",null,[["Organization","babbage & co.",{}],'
        '["Person","ada",{"born":1815,"height":1,"role":"author"}]],'
        '[[1,"WORKS_AT",0,{"names":["é","\u2028"],"since":1843}]]]'
    )
    assert fragment.digest == int.from_bytes(blake2b(canonical.encode(), digest_size=8).digest()) >> 1
    assert fragment.bucket == int.from_bytes(blake2b(b"u1\0m1", digest_size=3).digest())


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("Subject\n\nBody", "Subject"),
        ("\n \n  first \t line  \r\nsecond", "first line"),
        (" \n\t", ""),
        ("x" * CAPTION, "x" * CAPTION),
        ("x" * (CAPTION + 1), "x" * (CAPTION - 1) + "…"),
    ],
)
def test_the_caption_is_the_first_line(content, shown):
    """The caption is the first line that is not blank, spaces collapsed, cut with an ellipsis."""
    assert caption(content) == shown


@given(st.text())
def test_a_caption_is_short_and_on_one_line(content):
    """Whatever the content, its caption is one short line."""
    shown = caption(content)
    assert len(shown) <= CAPTION
    assert len(shown.splitlines()) <= 1
