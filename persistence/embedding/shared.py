"""Embeddings of search texts in a Redis that several processes share.

An entry's name is a keyed hash of model, tenant and text: whoever reads the Redis learns none of them, and no tenant
can tell by the time of an answer what another one has searched for. Contents of memories are never there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import SecretStr

from persistence.errors import ConfigurationError
from persistence.extras import needing
from persistence.log import get_logger
from persistence.records import Vector

with needing("redis"):
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

T = TypeVar("T")

log = get_logger("embedding")

#: Seconds that one question to Redis may take: a search waits for it.
ASK_TIME = 0.2
#: Seconds for which a Redis is left alone that did not answer.
REST = 5.0
_SCHEMES = ("redis", "rediss")
_FLOATS = np.dtype("<f4")


class RedisQueryCache:
    """A cache for one model. ``secret``: what else the hashes are keyed with, beside the password of Redis."""

    def __init__(
        self, url: SecretStr, model: str, dimension: int, *, seconds: float, secret: SecretStr | None = None
    ) -> None:
        self._redis = _connected(url.get_secret_value())
        self._space = (model, dimension)
        self._size = dimension * _FLOATS.itemsize
        self._milliseconds = round(seconds * 1_000)
        self._key = _key(url.get_secret_value(), secret.get_secret_value() if secret else "")
        self._rests_until = 0.0

    async def get(self, user_id: str, text: str) -> Vector | None:
        name = self._name(user_id, text)
        found = await self._ask(lambda: self._redis.get(name))
        return self._vector(found) if isinstance(found, bytes) else None

    async def put(self, user_id: str, text: str, vector: Vector) -> None:
        name, data = self._name(user_id, text), vector.astype(_FLOATS).tobytes()
        await self._ask(lambda: self._redis.set(name, data, px=self._milliseconds))

    async def close(self) -> None:
        await self._redis.aclose()

    def _name(self, user_id: str, text: str) -> str:
        said = json.dumps([*self._space, user_id, text]).encode()
        return f"diptych:query:{hashlib.blake2b(said, key=self._key, digest_size=32).hexdigest()}"

    def _vector(self, data: bytes) -> Vector | None:
        """Return what was kept, None where somebody else has written there what is no vector of this model."""
        if len(data) != self._size:
            return None
        vector = np.frombuffer(data, _FLOATS).astype(np.float32)
        return vector if np.isfinite(vector).all() and vector.any() else None

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        if time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(ASK_TIME):
                return await call()
        except (RedisError, OSError) as error:
            self._rests_until = time.monotonic() + REST
            why = type(error).__name__
            log.warning("The cache of search texts does not answer; they are embedded.", action="embed", why=why)
            return None


def _connected(url: str) -> Redis:
    try:
        if urlsplit(url).scheme in _SCHEMES:
            return Redis.from_url(url, socket_connect_timeout=ASK_TIME, socket_timeout=ASK_TIME)
    except ValueError:
        pass  # told below, without the URL: a password may be in it
    raise ConfigurationError(
        "The setting embedding_cache_url names no Redis.", hint="use redis://:password@host:6379/0, or rediss://"
    )


def _key(url: str, secret: str) -> bytes:
    return hashlib.blake2b(json.dumps([urlsplit(url).password, secret]).encode()).digest()
