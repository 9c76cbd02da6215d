"""What every embedder does, whatever it is made of."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from persistence.embedding.hashing import HashingEmbedder
from persistence.embedding.openai import OpenAIEmbedder
from persistence.ports.embedder import Embedder
from persistence.records import check_embedding
from tests.openai_server import DIMENSION, openai_server

TEXTS = ["Ada works at Babbage & Co.", "東京で働いています", "!?", " ", "e\u0301", "x" * 40_000, "a\nb\tc", "🜁"]


@pytest.fixture(params=["hashing", "openai"])
async def embedder(request):
    if request.param == "hashing":
        yield HashingEmbedder(DIMENSION)
        return
    with openai_server() as server:
        embedder = OpenAIEmbedder(server.url, "some-model", DIMENSION, batch_size=3)
        yield embedder
        await embedder.close()


async def test_one_row_per_text(embedder: Embedder):
    """The array is float32, of one row per text and as many columns as the embedder says."""
    vectors = await embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32


async def test_no_texts_no_rows(embedder: Embedder):
    """Nothing in, an array without rows out."""
    vectors = await embedder.embed([])
    assert vectors.shape == (0, embedder.dimension)
    assert vectors.dtype == np.float32


async def test_every_vector_is_one_that_the_records_take(embedder: Embedder):
    """No text, not even punctuation, has a vector that is zero or not finite."""
    for vector in await embedder.embed(TEXTS):
        check_embedding(vector)


async def test_a_text_has_one_vector(embedder: Embedder):
    """The vector of a text does not depend on what stands beside it, nor on when it is asked for."""
    together = await embedder.embed([*TEXTS, *reversed(TEXTS)])
    assert np.array_equal(together[: len(TEXTS)], together[: len(TEXTS) - 1 : -1])
    alone = [(await embedder.embed([text]))[0] for text in TEXTS]
    assert np.array_equal(together[: len(TEXTS)], np.stack(alone))


async def test_calls_at_once_do_not_mix(embedder: Embedder):
    """Concurrent calls each get their own texts' vectors."""
    expected = await embedder.embed(TEXTS)
    found = await asyncio.gather(*(embedder.embed([text]) for text in TEXTS for _ in range(4)))
    assert np.array_equal(np.concatenate(found), np.repeat(expected, 4, axis=0))


async def test_a_tuple_is_as_good_as_a_list(embedder: Embedder):
    """Any sequence of texts will do."""
    assert np.array_equal(await embedder.embed(tuple(TEXTS)), await embedder.embed(TEXTS))


async def test_it_has_a_name(embedder: Embedder):
    """The model's name is what the truth records, so there is one."""
    assert embedder.model
    assert embedder.dimension == DIMENSION


async def test_a_cancelled_call_leaves_it_usable(embedder: Embedder):
    """Cancelling is clean at every await."""
    call = asyncio.create_task(embedder.embed(TEXTS * 50))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await embedder.embed(TEXTS)) == len(TEXTS)


async def test_closing_twice_is_safe(embedder: Embedder):
    """A second close does nothing."""
    await embedder.embed(["a"])
    await embedder.close()
    await embedder.close()
