"""The extractor against a real HTTP server that answers as an OpenAI-compatible endpoint does."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from persistence.errors import ExtractionError, ExtractionUnavailableError
from persistence.extraction.openai import SCHEMA, OpenAIExtractor
from persistence.openai_http import Patience
from persistence.ports.extractor import Extraction
from persistence.records import MAX_ENTITIES
from tests.openai_server import Script, answer, chat, openai_server, reset, said, status

KEY = "sk-secret-456"
QUICK = Patience(timeout=10, total=30, attempts=3, delay=0)
ADA = {"name": "Ada", "type": "Person"}
CO = {"name": "Babbage & Co.", "type": "Organization"}
WORKS = {"source": "Ada", "type": "WORKS_AT", "target": "Babbage & Co."}


@pytest.fixture
def server() -> Iterator[Script]:
    with openai_server() as script:
        yield script


@pytest.fixture
async def extractor(server):
    extractor = OpenAIExtractor(server.url, "m", SecretStr(KEY), patience=QUICK)
    yield extractor
    await extractor.close()


async def refused(extractor: OpenAIExtractor, kind: type[ExtractionError] = ExtractionError) -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        await extractor.extract(["Ada knows Bob"])
    assert type(caught.value) is kind
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


async def extracted(server: Script, extractor: OpenAIExtractor, *entities: Any, said_of: list[Any]) -> Extraction:
    server.then(answer(said({"entities": list(entities), "relationships": said_of})))
    (found,) = await extractor.extract(["some text"])
    return found


async def test_the_request_asks_for_structured_output(server):
    """The model, the text and a strict schema go where OpenAI's reference says; the options are added."""
    extractor = OpenAIExtractor(server.url, "m", SecretStr(KEY), options={"temperature": 0})
    await extractor.extract(["Ada knows Bob"])
    await extractor.close()
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "m"
    assert request.body["temperature"] == 0
    assert request.body["messages"][-1] == {"role": "user", "content": "Ada knows Bob"}
    asked = request.body["response_format"]["json_schema"]
    assert asked["strict"] is True
    assert asked["schema"] == SCHEMA


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_the_schema_is_one_that_strict_mode_takes():
    """Strict mode wants every property required and no others allowed, at every depth."""
    found = list(objects(SCHEMA))
    assert len(found) == 3
    for schema in found:
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False


async def test_what_the_model_says_becomes_records(server, extractor):
    """Entities and relationships arrive as the model gave them."""
    found = await extracted(server, extractor, ADA, CO, said_of=[WORKS])
    assert [(e.type, e.name) for e in found.entities] == [("Person", "Ada"), ("Organization", "Babbage & Co.")]
    (related,) = found.relationships
    assert (related.source, related.type, related.target) == ("Ada", "WORKS_AT", "Babbage & Co.")


async def test_what_the_records_do_not_allow_is_dropped(server, extractor):
    """A blank, overlong or reserved name goes, with what is said of it; the rest stays."""
    bad = [
        {"name": " ", "type": "Person"},
        {"name": "x" * 256, "type": "Person"},
        {"name": "Bob", "type": "Memory"},
        {"name": "Eve", "type": "DiptychThing"},
        {"name": "a\0b", "type": "Person"},
        {"name": "a\ud800", "type": "Person"},
        {"name": "Mary", "type": ""},
    ]
    said_of = [WORKS, {**WORKS, "type": "MENTIONS"}, {**WORKS, "target": "Bob"}, {**WORKS, "type": "x" * 256}]
    found = await extracted(server, extractor, ADA, *bad, CO, said_of=said_of)
    assert [e.name for e in found.entities] == ["Ada", "Babbage & Co."]
    assert [r.type for r in found.relationships] == ["WORKS_AT"]


async def test_a_relationship_to_what_is_no_entity_is_dropped(server, extractor):
    """Ends that the model did not list are not made up."""
    found = await extracted(server, extractor, ADA, said_of=[WORKS, {**WORKS, "target": "x" * 300}])
    assert len(found.entities) == 1
    assert not found.relationships


async def test_an_end_that_could_be_two_entities_is_dropped(server, extractor):
    """Of two entities of one name the answer does not say which it means."""
    found = await extracted(server, extractor, ADA, {"name": "ada", "type": "Language"}, CO, said_of=[WORKS])
    assert len(found.entities) == 3
    assert not found.relationships


async def test_the_same_thing_twice_is_taken_once(server, extractor):
    """Spellings of one name are one entity, and a repeated statement is one."""
    said_of = [WORKS, {**WORKS, "source": "ADA"}, {**WORKS, "target": "Ada"}]
    found = await extracted(server, extractor, ADA, {"name": " ADA", "type": "Person"}, CO, said_of=said_of)
    assert len(found.entities) == 2
    assert len(found.relationships) == 1


async def test_no_more_entities_are_taken_than_a_memory_may_have(server, extractor):
    """A model that lists without end gives as many as the records allow, the first ones."""
    many = [{"name": f"e{i}", "type": "T"} for i in range(MAX_ENTITIES + 500)]
    found = await extracted(server, extractor, *many, said_of=[])
    assert [e.name for e in found.entities] == [f"e{i}" for i in range(MAX_ENTITIES)]


@pytest.mark.parametrize(
    "body",
    [
        said(""),
        said("no JSON"),
        said('{"entities": ['),
        said([]),
        said({}),
        said({"entities": "Ada", "relationships": []}),
        said({"entities": [{"name": "Ada"}], "relationships": []}),
        said({"entities": [{"name": 1, "type": "x"}], "relationships": []}),
        said({"entities": [], "relationships": [{"source": "Ada"}]}),
        said("[" * 100_000),
        said(None),
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [None]},
        {"choices": {}},
        {},
        [],
        None,
        7,
    ],
)
async def test_a_malformed_answer_is_an_error(server, extractor, body):
    """An answer that is not of the schema asked for is one error, and asked for once."""
    server.then(answer(body))
    assert not (await refused(extractor)).retryable
    assert len(server.requests) == 1


async def test_a_refusal_is_an_error(server, extractor):
    """A model that declines is not taken for one that found nothing."""
    server.then(answer(said(None, refusal="I cannot help with that")))
    assert "declined" in (await refused(extractor)).message
    server.then(answer(said({"entities": [], "relationships": []}, "content_filter")))
    assert "declined" in (await refused(extractor)).message


async def test_an_answer_cut_off_is_an_error(server, extractor):
    """Half a list is not taken for the whole, though it may be JSON."""
    server.then(answer(said({"entities": [ADA], "relationships": []}, "length")))
    assert "cut off" in (await refused(extractor)).message


@pytest.mark.parametrize("trouble", [status(429, Retry_After="0"), status(500), reset])
async def test_trouble_that_passes_is_got_over(server, extractor, trouble):
    """Two bad attempts and a good one are a good call."""
    server.then(trouble, trouble)
    (found,) = await extractor.extract(["Ada knows Bob"])
    assert [e.name for e in found.entities] == ["Ada", "Bob"]
    assert len(server.requests) == 3


async def test_trouble_that_stays_is_retryable(server, extractor):
    """After the last attempt the error says that it may go well another time."""
    server.then(*[status(503)] * 5)
    assert (await refused(extractor, ExtractionUnavailableError)).retryable
    assert len(server.requests) == QUICK.attempts


async def test_a_final_refusal_says_what_the_server_says(server, extractor):
    """The start of the server's message tells a wrong model from a text that is too long."""
    server.then(status(400, json.dumps({"error": {"message": "maximum context length is 8192 tokens."}}).encode()))
    error = await refused(extractor)
    assert error.message.endswith("answered 400: maximum context length is 8192 tokens.")


async def test_texts_are_asked_about_at_once_but_not_all(server):
    """Each text is a request of its own; no more than allowed are under way, and the order is kept."""
    under_way, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def counted(handler, body):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == 3:
                full.set()
        full.wait(30)
        with lock:
            under_way -= 1
        handler.send(200, json.dumps(chat(body)).encode())

    texts = [f"Person{i}" for i in range(12)]
    extractor = OpenAIExtractor(server.url, "m", concurrency=3)
    server.then(*[counted] * len(texts))
    found = await extractor.extract(texts)
    await extractor.close()
    assert [[e.name for e in one.entities] for one in found] == [[text] for text in texts]
    assert most == 3


async def test_a_call_can_be_cancelled(server):
    """A cancelled call stops at once, with all its requests."""
    extractor = OpenAIExtractor(server.url, "m", patience=replace(QUICK, timeout=60))
    server.then(*[server.hang] * 4)
    call = asyncio.create_task(extractor.extract(["a", "b", "c", "d"]))
    await asyncio.to_thread(server.came.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await extractor.close()
