"""What bad input gets: an error that names the field, and nothing written."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from persistence import InvalidInputError, PersistenceConfig
from tests.faults.stores import ALICE, DIMENSION, Stores, draft

LONG = "x" * 256
RELATED = {"source": "Person 1", "type": "KNOWS", "target": "Nobody"}


def _entity(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "Ada", "type": "Person", **fields}]


#: What is given, and the field that the error has to name.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "id"),
    ({"id": LONG}, "id"),
    ({"id": "a\x00b"}, "id"),
    ({"id": "\ud800"}, "id"),
    ({"id": 7}, "id"),
    ({"user_id": ""}, "user_id"),
    ({"user_id": LONG}, "user_id"),
    ({"user_id": "a\x00"}, "user_id"),
    ({"user_id": None}, "user_id"),
    ({"agent_id": ""}, "agent_id"),
    ({"run_id": LONG}, "run_id"),
    ({"content": ""}, "content"),
    ({"content": None}, "content"),
    ({"content": "a\x00b"}, "content"),
    ({"content": "\udfff"}, "content"),
    ({"content": "é" * 600_000}, "content"),
    ({"embedding": [0.0] * DIMENSION}, "embedding"),
    ({"embedding": [math.nan] + [1.0] * (DIMENSION - 1)}, "embedding"),
    ({"embedding": [math.inf] + [1.0] * (DIMENSION - 1)}, "embedding"),
    ({"embedding": [1e39] + [1.0] * (DIMENSION - 1)}, "embedding"),
    ({"embedding": [1.0] * (DIMENSION + 1)}, "embedding"),
    ({"embedding": []}, "embedding"),
    ({"embedding": [[1.0] * DIMENSION]}, "embedding"),
    ({"embedding": "text"}, "embedding"),
    ({"metadata": {"a": math.nan}}, "metadata"),
    ({"metadata": {"a": {1, 2}}}, "metadata"),
    ({"metadata": {"a": dt.datetime(2024, 1, 1)}}, "metadata"),  # noqa: DTZ001  # a time without a zone is the point
    ({"metadata": {"a": 2**63}}, "metadata"),
    ({"metadata": {"a\x00": 1}}, "metadata"),
    ({"metadata": {"a": "\ud800"}}, "metadata"),
    ({"metadata": [1]}, "metadata"),
    ({"metadata": {1: 2}}, "metadata"),
    ({"entities": _entity(name="")}, "entities[0].name"),
    ({"entities": _entity(name=" \t ")}, "entities[0].name"),
    ({"entities": _entity(name=LONG)}, "entities[0].name"),
    ({"entities": _entity(type="")}, "entities[0].type"),
    ({"entities": _entity(type=LONG)}, "entities[0].type"),
    ({"entities": _entity(type="Memory")}, "entities[0].type"),
    ({"entities": _entity(type="DiptychEntity")}, "entities[0].type"),
    ({"entities": _entity(properties={"a": {"b": 1}})}, "entities[0].properties"),
    ({"entities": _entity(properties={"a": [1, "b"]})}, "entities[0].properties"),
    ({"entities": _entity(properties={"a": -(2**63) - 1})}, "entities[0].properties"),
    ({"entities": _entity(colour="red")}, "entities[0].colour"),
    ({"entities": 7}, "entities"),
    ({"entities": "Ada"}, "entities"),
    ({"relationships": [RELATED]}, "relationships[0].target"),
    ({"relationships": [{**RELATED, "source": "Nobody"}]}, "relationships[0].source"),
    ({"relationships": [{**RELATED, "target": "Person 1", "type": "MENTIONS"}]}, "relationships[0].type"),
    ({"relationships": [{**RELATED, "target": "Person 1", "properties": {"x": {}}}]}, "relationships[0].properties"),
    ({"created_at": dt.datetime(2024, 1, 1)}, "created_at"),  # noqa: DTZ001  # as above
    ({"timeout": 0}, "timeout"),
    ({"timeout": -1}, "timeout"),
    ({"idempotency_key": "both"}, "idempotency_key"),
    ({"id": None, "idempotency_key": LONG}, "idempotency_key"),
]


def test_the_list_is_long_enough() -> None:
    """Every kind of bad input that the documentation names is among the cases."""
    assert {field.split("[")[0] for _, field in BAD} >= {"id", "user_id", "content", "embedding", "metadata"}


async def test_bad_input_names_its_field_and_writes_nothing(stores: Stores) -> None:
    """Each case raises InvalidInputError with its field and what is allowed; no row, no node, no entry is made."""
    async with stores.service() as memories:
        for given, field in BAD:
            with pytest.raises(InvalidInputError) as caught:
                await memories.store(**draft(1, **given))
            assert caught.value.field.startswith(field), (given, caught.value)
            assert caught.value.allowed
            assert len(str(caught.value)) < 400
            str(caught.value).encode()  # it can be printed, whatever the value was
    assert (await stores.truth(), await stores.nodes(), await stores.outbox()) == ({}, {}, [])


async def test_other_calls_check_their_input_too(stores: Stores) -> None:
    """Reads, patches, deletes and bulk calls refuse what store refuses, before anything is done."""
    async with stores.service() as memories:
        await memories.store(**draft(1))
        await memories.wait_until_in_step("m0001", user_id=ALICE)
        calls: list[tuple[str, Any]] = [
            ("id", lambda: memories.get("", user_id=ALICE)),
            ("user_id", lambda: memories.get("m", user_id="a\x00")),
            ("id", lambda: memories.delete(LONG, user_id=ALICE)),
            ("id", lambda: memories.update("\x00", user_id=ALICE, content="x")),
            ("content", lambda: memories.update("m0001", user_id=ALICE, content="")),
            ("embedding", lambda: memories.update("m0001", user_id=ALICE, embedding=[1.0])),
            ("relationships", lambda: memories.update("m0001", user_id=ALICE, entities=[])),
            ("colour", lambda: memories.update("m0001", user_id=ALICE, colour="red")),
            ("limit", lambda: memories.get_all(user_id=ALICE, limit=0)),
            ("limit", lambda: memories.search("x", user_id=ALICE, limit=1_001)),
            ("after", lambda: memories.get_all(user_id=ALICE, after="\x00")),
            ("filters", lambda: memories.get_all(user_id=ALICE, filters={"a": {"like": "x"}})),
            ("filters", lambda: memories.search("x", user_id=ALICE, filters={"a": {"in": []}})),
            ("query", lambda: memories.search(" ", user_id=ALICE)),
            ("query", lambda: memories.search("\x00", user_id=ALICE)),
            ("query", lambda: memories.search([1.0], user_id=ALICE)),
            ("expand", lambda: memories.search("x", user_id=ALICE, expand=6)),
            ("depth", lambda: memories.related("m0001", user_id=ALICE, depth=0)),
            ("user_id", lambda: memories.delete_all(user_id="")),
            ("user_id", lambda: memories.count(user_id=LONG)),
            ("timeout", lambda: memories.store_many([draft(2)], timeout=-1)),
            ("timeout", lambda: memories.delete_all(user_id=ALICE, timeout=0)),
            ("input", lambda: memories.store_many(["text"])),
        ]
        for field, call in calls:
            with pytest.raises(InvalidInputError) as caught:
                await call()
            assert caught.value.field.startswith(field), (field, caught.value)
    await stores.assert_in_step()
    assert len(await stores.truth()) == 1


async def test_the_limit_of_content_is_a_setting(stores: Stores) -> None:
    """Content is measured in UTF-8 bytes against the setting."""
    async with stores.service(max_content_bytes=10) as memories:
        await memories.store(**draft(1, content="é" * 5))
        with pytest.raises(InvalidInputError, match="10 bytes"):
            await memories.store(**draft(1, content="é" * 5 + "x"))


async def test_any_character_may_stand_in_a_name(stores: Stores) -> None:
    """Quotes, backticks and braces in types, names, keys and ids are data, never part of a query."""
    nasty = "`) DETACH DELETE n //'\"}; DROP TABLE memories; -- $x {y} \\ \n é 漢"
    entities = [{"name": nasty, "type": nasty, "properties": {nasty: nasty}}, {"name": "Ada", "type": "Person"}]
    related = [{"source": nasty, "type": nasty, "target": "Ada", "properties": {nasty: 1}}]
    async with stores.service() as memories:
        await memories.store_many([draft(number) for number in range(3)])
        given = {**draft(9), "id": nasty, "user_id": nasty, "agent_id": nasty, "content": nasty}
        await memories.store(**{**given, "entities": entities, "relationships": related, "metadata": {nasty: nasty}})
        stored = await memories.get(nasty, user_id=nasty)
        assert stored is not None
        assert (stored.content, stored.metadata) == (nasty, {nasty: nasty})
        found = await memories.search(draft(9)["embedding"], user_id=nasty, filters={nasty.replace(".", ""): nasty})
        assert len(found) <= 1
        await memories.drain()
    await stores.assert_in_step()


def test_settings_are_checked() -> None:
    """Made by hand, the settings are checked too."""
    with pytest.raises(ValueError, match="write_timeout"):
        PersistenceConfig(write_timeout=0)
