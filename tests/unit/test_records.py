"""What a memory may be, and what bad input gets."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import MAX_SHOWN, InvalidInputError
from persistence.records import MAX_ENTITIES, Entity, Memory, MemoryDraft, MemoryPatch, normalise, validated
from persistence.text import MAX_VALUES
from tests.unit.strategies import DRAFTS, NAMES

GOOD = {"user_id": "u1", "content": "Ada works at Babbage & Co."}
ADA = {"name": "Ada", "type": "Person"}
CO = {"name": "Babbage & Co.", "type": "Organization"}
WORKS = {"source": "Ada", "type": "WORKS_AT", "target": "Babbage & Co."}


def refused(**changed) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        validated(MemoryDraft, {**GOOD, **changed})
    return caught.value


@pytest.mark.parametrize("field", ["user_id", "id", "agent_id", "run_id"])
@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("", "at least 1 character"),
        ("x" * 256, "at most 255 characters"),
        ("a\0b", "NUL"),
        ("a\ud800", "surrogate|unicode"),
        (7, "valid string"),
        (b"\xff", "utf-8|valid string|unicode"),
    ],
)
def test_a_bad_id_is_refused(field, value, allowed):
    """An id that is empty, too long, no text, or that a backend cannot hold is refused by name."""
    error = refused(**{field: value})
    assert error.field == field
    assert len(error.value) <= MAX_SHOWN
    assert re.search(allowed, error.allowed, re.IGNORECASE)


@pytest.mark.parametrize("value", ["x", "x" * 255, "ß\u0301 🜁", "`\"'; DROP", "a\tb\n"])
def test_other_ids_pass_as_they_are(value):
    """Whatever every backend can hold is an id, unchanged."""
    assert value == validated(MemoryDraft, {**GOOD, "id": value}).id


@pytest.mark.parametrize("content", ["", "a\0", "\udfff", None, 3])
def test_bad_content_is_refused(content):
    """Content is text of at least one character that every backend can hold."""
    assert refused(content=content).field == "content"


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ([], "not empty"),
        ([[1.0, 2.0]], "one dimension deep"),
        (3.0, "one dimension deep"),
        ("abc", "list of numbers"),
        ([1.0, None], "finite"),
        ([1.0, "x"], "list of numbers"),
        ([[1.0], [1.0, 2.0]], "list of numbers"),
        ([1.0, float("nan")], "finite"),
        ([1.0, float("inf")], "finite"),
        ([1.0, 1e39], "finite"),
        ([10**400], "list of numbers"),
        ([0.0, -0.0], "length"),
        ([1e-30, 0.0], "length"),
        ([3e38, 3e38], "length"),
    ],
)
def test_a_bad_embedding_is_refused(value, allowed):
    """An embedding is one list of numbers, finite and with a length in float32; a warning on the way is an error."""
    error = refused(embedding=value)
    assert error.field == "embedding"
    assert allowed in error.allowed


def test_an_embedding_is_a_copy_that_cannot_be_written():
    """The record does not change when the caller's array does, nor can it be changed."""
    given_array = np.array([1.0, 2.0], dtype=np.float32)
    draft = validated(MemoryDraft, {**GOOD, "embedding": given_array})
    given_array[0] = 9
    assert draft.embedding is not None
    assert draft.embedding.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        draft.embedding[0] = 9


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ([1], "JSON object"),
        ("x", "JSON object"),
        ({"a": float("nan")}, "finite"),
        ({"a": {"b": [float("-inf")]}}, "finite"),
        ({"a": {1, 2}}, "JSON, not set"),
        ({"a": b"x"}, "JSON, not bytes"),
        ({"a": datetime(2020, 1, 1)}, "time zone"),  # noqa: DTZ001  # that is the fault
        ({"a": 2**63}, "64 bit"),
        ({"a": [-(2**63) - 1]}, "64 bit"),
        ({"a": "\0"}, "NUL"),
        ({"a": ["\ud800"]}, "surrogate"),
        ({"\0": 1}, "NUL"),
        ({"": 1}, "1 to 255"),
        ({"k" * 256: 1}, "1 to 255"),
        ({3: 1}, "1 to 255"),
    ],
)
def test_bad_metadata_is_refused(value, allowed):
    """Metadata is a JSON object that every backend can hold, at every depth."""
    error = refused(metadata=value)
    assert error.field == "metadata"
    assert allowed in error.allowed


def test_metadata_nested_without_end_is_refused():
    """A value that holds itself, or is nested too deep, is refused, not followed."""
    endless: dict[str, object] = {}
    endless["again"] = endless
    assert "nested" in refused(metadata=endless).allowed


@pytest.mark.parametrize(
    ("properties", "allowed"),
    [
        ({"a": {"b": 1}}, "flat"),
        ({"a": {}}, "flat"),
        ({"a": [{"b": 1}]}, "text, numbers or booleans"),
        ({"a": [[1]]}, "text, numbers or booleans"),
        ({"a": [None]}, "text, numbers or booleans"),
        ({"a": ["x", 1]}, "one kind"),
        ({"a": [True, 1]}, "one kind"),
        ({"a": float("nan")}, "finite"),
        ({"a": 2**63}, "64 bit"),
        ({"memory_id": 1}, "reserved"),
        ({"user_id": 1}, "reserved"),
        ({"a": {1}}, "JSON"),
    ],
)
def test_bad_properties_are_refused(properties, allowed):
    """Properties are flat, since Neo4j holds nothing else, on entities and on relationships alike."""
    on_entity = refused(entities=[{**ADA, "properties": properties}])
    assert on_entity.field == "entities[0].properties"
    assert allowed in on_entity.allowed
    on_relationship = refused(entities=[ADA, CO], relationships=[{**WORKS, "properties": properties}])
    assert on_relationship.field == "relationships[0].properties"


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u3000", "x" * 256, "a\0", "\udc00"])
def test_a_bad_entity_name_is_refused(name):
    """An entity's name is 1 to 255 characters, not blank."""
    assert refused(entities=[{**ADA, "name": name}]).field == "entities[0].name"


@pytest.mark.parametrize("kind", ["", "x" * 256, "a\0", "Memory", "Entity", "MENTIONS", "DiptychMemory", "Diptych"])
def test_a_bad_type_is_refused(kind):
    """A type is 1 to 255 characters and none of the names that the graph keeps for itself."""
    assert refused(entities=[{**ADA, "type": kind}]).field == "entities[0].type"
    assert refused(entities=[ADA, CO], relationships=[{**WORKS, "type": kind}]).field == "relationships[0].type"


@pytest.mark.parametrize("kind", ["`", "a`b", "'\"", "x]->() DETACH DELETE n //", "memory", "MEMORY", "Личность"])
def test_a_type_may_hold_any_character(kind):
    """Quotes and backticks are letters like others."""
    assert validated(Entity, {"name": "Ada", "type": kind}).type == kind


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_relationship_ends_at_entities_of_the_memory(end):
    """An end that is no entity of the memory is refused, with its place."""
    error = refused(entities=[ADA, CO], relationships=[WORKS, {**WORKS, end: "Nobody"}])
    assert error.field == f"relationships[1].{end}"
    assert error.value == "'Nobody'"
    assert refused(relationships=[WORKS]).field == "relationships[0].source"


def test_ends_are_found_by_key():
    """An end names its entity in any spelling of the same key."""
    draft = {**GOOD, "entities": [ADA, CO], "relationships": [{**WORKS, "source": " ADA ", "target": "babbage  & co."}]}
    assert validated(MemoryDraft, draft).relationships


def test_an_ambiguous_end_needs_its_type():
    """Where two entities of different types share a name, the relationship says which it means."""
    entities = [ADA, {"name": "ada", "type": "Language"}, CO]
    error = refused(entities=entities, relationships=[WORKS])
    assert error.field == "relationships[0].source"
    assert "Language, Person" in error.allowed
    typed = {**WORKS, "source_type": "Language"}
    assert validated(MemoryDraft, {**GOOD, "entities": entities, "relationships": [typed]}).relationships
    wrong = {**WORKS, "source_type": "Place"}
    assert refused(entities=entities, relationships=[wrong]).field == "relationships[0].source"


def test_too_many_entities_are_refused():
    """A memory has 1,000 entities at most."""
    many = [{"name": f"e{i}", "type": "T"} for i in range(MAX_ENTITIES + 1)]
    assert refused(entities=many).field == "entities"


@pytest.mark.parametrize("shape", ["list", "object", "nested"])
@pytest.mark.parametrize("field", ["metadata", "properties"])
def test_values_of_an_object_are_bounded(field: str, shape: str) -> None:
    """Metadata, and properties, hold 10,000 values at most, wherever in them they are; one more is refused."""

    def given(number: int) -> object:
        shapes = {
            "list": {"a": [0] * (number - 1)},
            "object": {f"k{i}": 0 for i in range(number)},
            "nested": {"a": {"b": [[0] * (number - 3)]}},
        }
        if field == "metadata":
            return validated(MemoryDraft, {"user_id": "a", "content": "b", "metadata": shapes[shape]})
        return validated(Entity, {"name": "a", "type": "T", "properties": shapes[shape]})

    if (field, shape) != ("properties", "nested"):
        given(MAX_VALUES)
    with pytest.raises(InvalidInputError, match="10,000 values at most"):
        given(MAX_VALUES + 1)


def test_unknown_fields_are_refused():
    """A misspelt field is named instead of being dropped."""
    assert refused(contents="x").field == "contents"
    with pytest.raises(InvalidInputError):
        validated(MemoryPatch, {"user_id": "u2"})


def test_created_at_needs_a_zone():
    """A time without a zone could be any of 26 hours."""
    assert refused(created_at=datetime(2020, 1, 1)).field == "created_at"  # noqa: DTZ001  # that is the fault


def test_a_huge_value_is_shortened():
    """The message shows the start of a value, never a megabyte of it."""
    error = refused(metadata={"a": "x" * 1_000_000, "b": {1}})
    assert len(error.value) <= MAX_SHOWN
    assert len(str(error)) < 400


def test_the_message_has_field_value_and_what_is_allowed():
    """One sentence says which field, which value and what would do."""
    assert str(refused(user_id="a\0b")) == r"user_id: 'a\x00b' is not allowed; it must not contain NUL characters."


def test_a_zoned_datetime_becomes_text():
    """A zoned datetime is written as RFC 3339; JSON has no other way."""
    when = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert validated(MemoryDraft, {**GOOD, "metadata": {"at": when}}).metadata == {"at": "2024-02-29T12:00:00+00:00"}


def test_a_list_of_whole_and_broken_numbers_is_a_list_of_floats():
    """A list property has one kind of number, since Neo4j's lists have."""
    entity = validated(Entity, {**ADA, "properties": {"a": [1, 2.5], "b": [1, 2]}})
    assert [type(value) for value in entity.properties["a"]] == [float, float]
    assert [type(value) for value in entity.properties["b"]] == [int, int]


def test_records_cannot_be_changed_and_compare_by_value():
    """Two records are equal where all fields are, arrays included."""
    data = {**GOOD, "embedding": [1.0, 2.0]}
    one, two = validated(MemoryDraft, data), validated(MemoryDraft, data)
    assert one == two
    assert one != validated(MemoryDraft, {**data, "embedding": [1.0, 3.0]})
    assert one != validated(MemoryDraft, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        one.content = "other"


@given(DRAFTS)
def test_a_draft_survives_json(draft):
    """What a draft says is the same after a journey through JSON."""
    assert validated(MemoryDraft, json.loads(draft.model_dump_json())) == draft


@given(DRAFTS)
def test_a_memory_survives_json(draft):
    """What truth holds is the same after a journey through JSON."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    memory = Memory(
        id=draft.id or "m",
        user_id=draft.user_id,
        content=draft.content,
        metadata=draft.metadata,
        entities=draft.entities or (),
        relationships=draft.relationships or (),
        embedding=draft.embedding,
        version=1,
        digest=2,
        created_at=now,
        updated_at=now,
    )
    assert validated(Memory, json.loads(memory.model_dump_json())) == memory


@given(NAMES)
def test_a_key_is_its_own_key(name):
    """Normalising once is enough."""
    assert normalise(normalise(name)) == normalise(name)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_key_does_not_depend_on_the_normal_form(text):
    """A name has one key, whichever Unicode normal form its writer's keyboard made."""
    forms = {normalise(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert forms == {normalise(text)}


@pytest.mark.parametrize(
    "spelling", ["Straße 1", "STRASSE 1", "strasse  1", " straße\u00a01\n", "\uff33trasse\u3000\uff11"]
)
def test_spellings_of_one_name(spelling):
    """Case, width and spaces make no other entity."""
    assert normalise(spelling) == "strasse 1"
