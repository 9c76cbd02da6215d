"""The embedder for any endpoint that speaks OpenAI's ``/embeddings``."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio.to_thread
import numpy as np
import numpy.typing as npt
from pydantic import SecretStr

from persistence.errors import EmbeddingError, EmbeddingUnavailableError
from persistence.openai_http import Endpoint, Failures, Patience, each

FAILURES = Failures(EmbeddingError, EmbeddingUnavailableError)
Vectors = npt.NDArray[np.float32]


class OpenAIEmbedder:
    """Embeds by POSTs of up to ``batch_size`` texts and ``batch_chars`` characters, ``concurrency`` of them at once.

    ``base_url`` is what stands before ``/embeddings``, such as ``http://127.0.0.1:8080/v1``. ``ask_dimension`` sends
    the dimension along, for models that can shorten their vectors. An answer of another dimension is an
    EmbeddingError, as are zero and non-finite vectors.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        dimension: int,
        api_key: SecretStr | None = None,
        *,
        batch_size: int = 128,
        batch_chars: int = 200_000,
        concurrency: int = 2,
        ask_dimension: bool = False,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._endpoint = Endpoint(base_url, "embeddings", api_key, FAILURES, patience or Patience(), sleep=sleep)
        self._model = model
        self._dimension = dimension
        self._batch_size = batch_size
        self._batch_chars = batch_chars
        self._concurrency = concurrency
        self._options = {"dimensions": dimension} if ask_dimension else {}

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> Vectors:
        batches = list(_batches(texts, self._batch_size, self._batch_chars))
        parts = await each(self._embed_batch, batches, self._concurrency)
        return np.concatenate(parts) if parts else np.empty((0, self._dimension), dtype=np.float32)

    async def close(self) -> None:
        await self._endpoint.close()

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        answer = await self._endpoint.post(
            {"model": self._model, "input": list(texts), "encoding_format": "float", **self._options}
        )
        return await anyio.to_thread.run_sync(self._vectors, answer, len(texts))

    def _vectors(self, answer: Any, count: int) -> Vectors:
        """Return the answer's vectors in the order of their index, shape ``(count, dimension)``."""
        try:
            items = _in_order(answer["data"], count)
            vectors = [_vector(item["embedding"]) for item in items]
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise self._endpoint.refuse("gave an answer that holds no list of embeddings") from error
        if len(vectors) != count:
            raise self._endpoint.refuse(f"gave {len(vectors)} embeddings for {count} texts")
        self._check(vectors)
        return np.stack(vectors)

    def _check(self, vectors: Sequence[Vectors]) -> None:
        for vector in vectors:
            if vector.size != self._dimension:
                raise self._endpoint.refuse(
                    f"gave an embedding of {vector.size} dimensions where {self._dimension} were expected"
                )
            if not np.isfinite(vector).all() or not vector.any():
                raise self._endpoint.refuse("gave an embedding that is zero or not finite")


def _batches(texts: Sequence[str], most: int, most_chars: int) -> Iterator[Sequence[str]]:
    """Yield runs of texts within both limits; a text that is too long by itself stands alone."""
    start = chars = 0
    for position, text in enumerate(texts):
        if position > start and (position - start >= most or chars + len(text) > most_chars):
            yield texts[start:position]
            start, chars = position, 0
        chars += len(text)
    if start < len(texts):
        yield texts[start:]


def _in_order(items: Sequence[Any], count: int) -> Sequence[Any]:
    """Return the items by their index; an answer without any index is taken to be in order."""
    if all("index" not in item for item in items):
        return items
    by_index = {item["index"]: item for item in items}
    return [by_index[index] for index in range(count)] if len(items) == count else items


def _vector(given: Any) -> Vectors:
    """Read a list of numbers, or base64 of little-endian float32."""
    if isinstance(given, str):
        try:
            return np.frombuffer(base64.b64decode(given, validate=True), dtype="<f4").astype(np.float32)
        except binascii.Error as error:
            raise ValueError("not base64") from error
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused
        vector = np.array(given, dtype=np.float32)
    if vector.ndim != 1:
        raise ValueError("not one list of numbers")
    return vector
