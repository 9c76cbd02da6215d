"""What every extractor does, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from persistence.extraction.openai import OpenAIExtractor
from persistence.extraction.rules import RuleExtractor
from persistence.ports.extractor import Extractor
from persistence.records import MAX_ENTITIES, MemoryDraft, validated
from tests.openai_server import openai_server

PEOPLE = "Ada Lovelace knows Charles Babbage"
TEXTS = [PEOPLE, "nothing of note", "!?", " ", "東京で働いています", f"{PEOPLE} and Grace Hopper. " * 200, "🜁 \u202e"]


@pytest.fixture(params=["rules", "openai"])
async def extractor(request):
    if request.param == "rules":
        yield RuleExtractor()
        return
    with openai_server() as server:
        extractor = OpenAIExtractor(server.url, "some-model", concurrency=2)
        yield extractor
        await extractor.close()


async def test_one_extraction_per_text(extractor: Extractor):
    """Extractions stand in the order of the texts."""
    found = await extractor.extract(TEXTS)
    assert len(found) == len(TEXTS)
    assert found[0].entities
    assert not found[1].entities
    assert found == [(await extractor.extract([text]))[0] for text in TEXTS]


async def test_no_texts_no_extractions(extractor: Extractor):
    """Nothing in, nothing out."""
    assert await extractor.extract([]) == []


async def test_what_is_found_can_be_stored(extractor: Extractor):
    """Whatever is found makes a valid memory: names, types, ends and limits."""
    for text, found in zip(TEXTS, await extractor.extract(TEXTS), strict=True):
        data = {
            "user_id": "u1",
            "content": text,
            "entities": [entity.model_dump() for entity in found.entities],
            "relationships": [relationship.model_dump() for relationship in found.relationships],
        }
        assert validated(MemoryDraft, data).entities == found.entities


async def test_relationships_come_with_their_ends(extractor: Extractor):
    """A statement between two people is found, with both of them."""
    (found,) = await extractor.extract([PEOPLE])
    assert "KNOWS" in {relationship.type for relationship in found.relationships}
    names = {entity.name for entity in found.entities}
    assert all({r.source, r.target} <= names for r in found.relationships)


async def test_an_entity_is_listed_once(extractor: Extractor):
    """However often a text says a name, its entity is listed once."""
    (found,) = await extractor.extract([f"{PEOPLE}. " * 50])
    identities = [(entity.type, entity.key) for entity in found.entities]
    assert len(identities) == len(set(identities))


async def test_no_more_entities_than_a_memory_may_have(extractor: Extractor):
    """A text that speaks of very many things still makes a valid memory."""
    digits = ["".join(chr(ord("a") + int(digit)) for digit in f"{i:04}") for i in range(MAX_ENTITIES * 2)]
    (found,) = await extractor.extract([", ".join(f"Ada{word} Byron{word}" for word in digits)])
    assert len(found.entities) == MAX_ENTITIES


async def test_calls_at_once_do_not_mix(extractor: Extractor):
    """Concurrent calls each get their own texts' extractions."""
    expected = await extractor.extract(TEXTS)
    found = await asyncio.gather(*(extractor.extract([text]) for text in TEXTS))
    assert [one for (one,) in found] == expected


async def test_it_has_a_name(extractor: Extractor):
    """What extracted a memory's entities has a name."""
    assert extractor.model


async def test_a_cancelled_call_leaves_it_usable(extractor: Extractor):
    """Cancelling is clean at every await."""
    call = asyncio.create_task(extractor.extract(TEXTS * 20))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await extractor.extract(TEXTS)) == len(TEXTS)


async def test_closing_twice_is_safe(extractor: Extractor):
    """A second close does nothing."""
    await extractor.extract(["a"])
    await extractor.close()
    await extractor.close()
