"""The embedder against a real HTTP server that answers as an OpenAI-compatible endpoint does."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from pydantic import SecretStr

from persistence.embedding.openai import OpenAIEmbedder
from persistence.errors import ConfigurationError, EmbeddingError, EmbeddingUnavailableError
from persistence.openai_http import Patience
from tests.openai_server import (
    DIMENSION,
    Script,
    answer,
    cut_off,
    embeddings,
    openai_server,
    reset,
    said,
    status,
    vector,
)

KEY = "sk-secret-123"
QUICK = Patience(timeout=10, total=30, attempts=3, delay=0, max_retry_after=60)


@pytest.fixture
def server() -> Iterator[Script]:
    with openai_server() as script:
        yield script


class Waits(list[float]):
    """Stands in for sleeping: notes how long it would have been."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
async def embedder(server, waits):
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, SecretStr(KEY), patience=QUICK, sleep=waits.sleep)
    yield embedder
    await embedder.close()


async def refused(embedder: OpenAIEmbedder, kind: type[EmbeddingError] = EmbeddingError) -> EmbeddingError:
    with pytest.raises(EmbeddingError) as caught:
        await embedder.embed(["a", "b"])
    assert type(caught.value) is kind
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


async def test_the_request_is_what_the_endpoint_expects(server, embedder):
    """The model, the texts, the format and the key go where OpenAI's reference says."""
    vectors = await embedder.embed(["Ada", "Babbage"])
    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {"model": "m", "input": ["Ada", "Babbage"], "encoding_format": "float"}
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert vectors.tolist() == [vector("Ada"), vector("Babbage")]


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" \n")])
async def test_no_key_is_no_header(server, key):
    """An endpoint without keys gets no header, and an empty key is none."""
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, key)
    await embedder.embed(["a"])
    await embedder.close()
    assert "Authorization" not in server.requests[0].headers


async def test_the_dimension_is_asked_for_where_wanted(server):
    """A model that can shorten its vectors is told to."""
    embedder = OpenAIEmbedder(server.url + "/", "m", DIMENSION, ask_dimension=True)
    await embedder.embed(["a"])
    await embedder.close()
    assert server.requests[0].path == "/v1/embeddings"
    assert server.requests[0].body["dimensions"] == DIMENSION


async def test_texts_go_in_batches_by_count_and_by_characters(server):
    """No request has more texts or more characters than allowed, but for a text that is too long alone."""
    texts = ["aa", "b" * 30, "cc", "dd", "ee", "f" * 6, "g" * 6]
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, batch_size=2, batch_chars=10, concurrency=1)
    vectors = await embedder.embed(texts)
    await embedder.close()
    sent = [request.body["input"] for request in server.requests]
    assert sent == [["aa"], ["b" * 30], ["cc", "dd"], ["ee", "f" * 6], ["g" * 6]]
    assert vectors.tolist() == [vector(text) for text in texts]


async def test_vectors_are_ordered_by_index(server, embedder):
    """An endpoint may answer in any order; the index says which text is meant."""

    def shuffled(handler, body):
        found = embeddings(body)
        random.Random(7).shuffle(found["data"])
        handler.send(200, json.dumps(found).encode())

    server.then(shuffled)
    texts = [f"t{i}" for i in range(20)]
    assert (await embedder.embed(texts)).tolist() == [vector(text) for text in texts]


async def test_an_answer_without_indices_is_in_order(server, embedder):
    """Some endpoints leave the index out."""
    server.then(answer({"data": [{"embedding": vector("a")}, {"embedding": vector("b")}]}))
    assert (await embedder.embed(["a", "b"])).tolist() == [vector("a"), vector("b")]


async def test_base64_is_read(server, embedder):
    """Some endpoints answer base64 whatever they are asked for."""
    raw = base64.b64encode(np.array(vector("a"), dtype="<f4").tobytes()).decode()
    server.then(answer({"data": [{"index": 0, "embedding": raw}]}))
    assert (await embedder.embed(["a"])).tolist() == [vector("a")]


async def test_another_dimension_is_refused_with_both(server, embedder):
    """A model of another dimension is named as such: both numbers are in the message."""
    server.then(answer({"data": [{"index": i, "embedding": [1.0, 2.0, 3.0]} for i in range(2)]}))
    assert "3 dimensions where 8 were expected" in (await refused(embedder)).message


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": vector("a")}],
        [{"index": i, "embedding": vector("a")} for i in range(3)],
        [{"index": 0, "embedding": vector("a")}, {"index": 0, "embedding": vector("b")}],
        [{"index": 0, "embedding": vector("a")}, {"index": 2, "embedding": vector("b")}],
        [{"index": 0, "embedding": vector("a")}, {"embedding": vector("b")}],
        [{"index": 0}, {"index": 1}],
        [{"index": [], "embedding": 1}, {"index": 1, "embedding": vector("b")}],
        [{"embedding": [vector("a")]}, {"embedding": vector("b")}],
        [{"embedding": "%%%"}, {"embedding": "AAA="}],
        [{"embedding": [1.0] * 7 + ["x"]}, {"embedding": vector("b")}],
        [{"embedding": [1.0] * 7 + [10**400]}, {"embedding": vector("b")}],
        [{"embedding": [1.0] * 7 + [None]}, {"embedding": vector("b")}],
        [{"embedding": [1.0] * 7 + [float("nan")]}, {"embedding": vector("b")}],
        [{"embedding": [1.0] * 7 + [1e300]}, {"embedding": vector("b")}],
        [{"embedding": [0.0] * 8}, {"embedding": vector("b")}],
        [1, 2],
        {},
        None,
        "x",
    ],
)
async def test_an_answer_that_cannot_be_used_is_refused_once(server, embedder, data):
    """Whatever else stands where embeddings should is one error, and asked for once."""
    server.then(answer({"data": data}))
    await refused(embedder)
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"data": [', b"\xff\xfe", b"[" * 100_000, b"[]", b"7", b"null"])
async def test_what_is_not_json_is_refused(server, embedder, content):
    """An answer that is not JSON, or no object, is not asked for again."""
    server.then(status(200, content))
    await refused(embedder)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "trouble", [status(429), status(500), status(503), reset, cut_off], ids=["429", "500", "503", "reset", "cut off"]
)
async def test_trouble_that_passes_is_got_over(server, embedder, trouble):
    """Two bad attempts and a good one are a good call."""
    server.then(trouble, trouble)
    assert (await embedder.embed(["a"])).tolist() == [vector("a")]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("trouble", "said_so"), [(status(429), "429"), (status(502), "502"), (reset, "no answer"), (cut_off, "no answer")]
)
async def test_trouble_that_stays_is_retryable(server, embedder, trouble, said_so):
    """After the last attempt the error says what was wrong, and that it may go well another time."""
    server.then(*[trouble] * 10)
    error = await refused(embedder, EmbeddingUnavailableError)
    assert error.retryable
    assert said_so in error.message
    assert len(server.requests) == QUICK.attempts


@pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 413, 422])
async def test_other_refusals_are_final(server, embedder, code):
    """What will be refused again is not asked again."""
    server.then(status(code, b"", Location="/elsewhere"))
    error = await refused(embedder)
    assert not error.retryable
    assert str(code) in error.message
    assert len(server.requests) == 1


async def test_retry_after_in_seconds_is_honoured(server, embedder, waits):
    """The next attempt comes no earlier than the server asked for."""
    server.then(status(429, Retry_After="7"), status(503, Retry_After="0"))
    await embedder.embed(["a"])
    assert waits == [7, 0]


async def test_retry_after_as_a_date_is_honoured(server, embedder, waits):
    """A date is as good as seconds; one in the past means now."""
    soon, past = (datetime.now(UTC) + timedelta(seconds=s) for s in (20, -20))
    server.then(
        status(429, Retry_After=format_datetime(soon, usegmt=True)),
        status(429, Retry_After=format_datetime(past, usegmt=True)),
    )
    await embedder.embed(["a"])
    assert 10 < waits[0] <= 20
    assert waits[1] == 0


async def test_retry_after_is_capped(server, waits):
    """A server that asks for an hour is asked again after the longest wait we allow."""
    patience = replace(QUICK, total=1_000, max_retry_after=60)
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, patience=patience, sleep=waits.sleep)
    server.then(status(429, Retry_After="3600"))
    await embedder.embed(["a"])
    await embedder.close()
    assert waits == [60]


async def test_the_total_time_bounds_the_waits(server, waits):
    """A wait that would end after the total time is not begun."""
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, patience=replace(QUICK, total=5), sleep=waits.sleep)
    server.then(status(429, Retry_After="30"))
    await refused(embedder, EmbeddingUnavailableError)
    await embedder.close()
    assert not waits
    assert len(server.requests) == 1


async def test_a_server_that_hangs_costs_the_timeout(server):
    """An attempt without an answer ends at its time, and the next may succeed."""
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, patience=replace(QUICK, timeout=0.2))
    server.then(server.hang)
    assert (await embedder.embed(["a"])).tolist() == [vector("a")]
    server.then(*[server.hang] * 3)
    assert "TimeoutError" in (await refused(embedder, EmbeddingUnavailableError)).message
    await embedder.close()


async def test_a_server_that_is_not_there_is_unavailable():
    """A refused connection is trouble that may pass."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        embedder = OpenAIEmbedder(url, "m", DIMENSION, SecretStr(KEY), patience=QUICK)
        error = await refused(embedder, EmbeddingUnavailableError)
    await embedder.close()
    assert "ConnectError" in error.message
    assert error.__cause__ is not None


async def test_a_call_can_be_cancelled(server, embedder):
    """A cancelled call stops at once and leaves the embedder usable."""
    server.then(server.hang)
    call = asyncio.create_task(embedder.embed(["a"]))
    await asyncio.to_thread(server.came.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await embedder.embed(["a"])).tolist() == [vector("a")]


async def test_one_failing_batch_fails_the_call(server):
    """The error of one batch is the error of the call; the others are not waited for."""
    patience = replace(QUICK, timeout=30)
    embedder = OpenAIEmbedder(server.url, "m", DIMENSION, batch_size=1, concurrency=2, patience=patience)
    server.then(server.hang, status(400))
    await refused(embedder)
    await embedder.close()


async def test_the_servers_own_words_are_shortened_and_without_the_key(server, embedder):
    """Of an answer's body only the start of its message is shown, on one line, without the key."""
    message = f"model `x` does not exist\n\x1b[31m{KEY} " + "y" * 1_000
    server.then(status(404, json.dumps({"error": {"message": message}}).encode()))
    error = await refused(embedder)
    assert "model `x` does not exist" in error.message
    assert "***" in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 250


@pytest.mark.parametrize("code", [401, 403])
async def test_a_wrong_key_is_never_repeated(server, embedder, code):
    """Servers repeat parts of a wrong key; nothing of their message is shown."""
    content = json.dumps({"error": {"message": "Incorrect API key provided: sk-secr***123"}}).encode()
    server.then(status(code, content))
    error = await refused(embedder)
    assert "sk-" not in error.message
    assert error.hint == "check the key"


@pytest.mark.parametrize("body", [b'{"error": "x"}', b'{"error": {"message": null}}', b"[]", b"\xff", b'{"error": []}'])
async def test_an_error_of_another_shape_is_still_one_sentence(server, embedder, body):
    """An error's body may be anything."""
    server.then(status(400, body))
    assert "answered 400" in (await refused(embedder)).message


@pytest.mark.parametrize("url", ["", "localhost:1/v1", "ftp://x/v1", "http://", "http://[::1/v1"])
def test_a_base_url_must_be_one(url):
    """A base URL that cannot work is refused before the first request."""
    with pytest.raises(ConfigurationError, match="base URL"):
        OpenAIEmbedder(url, "m", DIMENSION)


@pytest.mark.parametrize("key", ["sk\nX-Evil: 1", "schlüssel", "a b"])
def test_a_key_that_cannot_stand_in_a_header_is_refused(key):
    """Such a key is refused without being shown, before a library shows it."""
    with pytest.raises(ConfigurationError) as caught:
        OpenAIEmbedder("http://127.0.0.1/v1", "m", DIMENSION, SecretStr(key))
    assert key not in str(caught.value)


async def test_a_password_in_the_url_is_not_shown(server, embedder):
    """The endpoint is named in errors without the user and the password of its URL."""
    url = server.url.replace("//", "//ada:hunter2@")
    other = OpenAIEmbedder(url, "m", DIMENSION, patience=QUICK)
    server.then(status(404))
    error = await refused(other)
    await other.close()
    assert "hunter2" not in "".join(traceback.format_exception(error))


async def test_after_close_nothing_is_sent(server, embedder):
    """A closed embedder says so."""
    await embedder.embed(["a"])
    await embedder.close()
    assert "closed" in (await refused(embedder)).message
    assert len(server.requests) == 1


async def test_a_chat_answer_is_no_embedding(server, embedder):
    """A URL of the wrong kind is an error of the embedder."""
    server.then(answer(said("hello")))
    await refused(embedder)
