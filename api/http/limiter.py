"""Counts requests: in this process's memory, or in a Redis that several processes share."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError as LimitsError
from limits.errors import StorageError
from limits.storage import storage_from_string

from api.http import problems
from api.http.problems import Answer
from api.http.settings import MEMORY, ApiConfig
from persistence.backends import installed
from persistence.errors import ConfigurationError
from persistence.log import get_logger

log = get_logger("http")

#: Seconds that one look at a shared store may take: every request waits for it.
ASK_TIME = 0.5
#: Seconds for which a shared store is left alone that did not answer.
REST = 5.0
_PREFIX = "diptych"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request counted. ``reset``: seconds until as many as ever are allowed again."""

    allowed: bool
    limit: RateLimitItem
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the headers that say so (the IETF's draft of RateLimit header fields)."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit.amount};w={self.limit.get_expiry()}',
            "RateLimit": f'"default";r={self.remaining};t={self.reset}',
        }

    def refusal(self) -> Answer:
        """Return the problem for a request that is one too many."""
        return Answer(
            problems.TOO_MANY,
            f"More requests came than are allowed: {self.limit}.",
            "send fewer; the header Retry-After says when it goes on",
            retryable=True,
            retry_after=max(self.reset, 1),
        )


class Limiter:
    """Counts by whoever sends them, in a window that slides.

    A shared store that does not answer stops nobody: as long as that is so this process counts for itself.
    """

    def __init__(self, config: ApiConfig) -> None:
        self._limit = parse(config.rate_limit) if config.rate_limit else None
        self._own = _Window(MemoryStorage())
        self._shared = _shared(config) if self._limit else None
        self._rests_until = 0.0

    async def take(self, name: str) -> Taken | None:
        """Count one request; None where there is no limit."""
        if self._limit is None:
            return None
        if self._shared is not None and time.monotonic() >= self._rests_until:
            try:
                async with asyncio.timeout(ASK_TIME):
                    return await self._shared.take(self._limit, name)
            except (StorageError, TimeoutError) as error:
                self._rest(error)
        return await self._own.take(self._limit, name)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._shared is not None:
            await self._shared.close()

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST
        why = type(error.__cause__ or error).__name__
        log.warning("The shared rate limit cannot be counted; each process counts for itself.", action="http", why=why)


class _Window:
    """Counts in one store."""

    def __init__(self, storage: Storage) -> None:
        self._storage: Any = storage
        self._counting = SlidingWindowCounterRateLimiter(storage)

    async def take(self, limit: RateLimitItem, name: str) -> Taken:
        allowed = await self._counting.hit(limit, name)
        stats: Any = await self._counting.get_window_stats(limit, name)
        reset = max(0, math.ceil(stats.reset_time - time.time()))
        return Taken(allowed, limit, max(0, stats.remaining), reset)

    async def close(self) -> None:
        await self._storage.bridge.storage.aclose()


def _shared(config: ApiConfig) -> _Window | None:
    """Return the window in Redis; None where each process counts for itself. Raises ConfigurationError."""
    url = config.rate_limit_storage.get_secret_value() if config.rate_limit_storage else MEMORY
    if url == MEMORY:
        return None
    with installed("redis"):
        import redis.asyncio  # noqa: PLC0415, F401  # limits finds it by itself, and says nothing of the extra
    try:
        return _Window(_storage(url))
    except (LimitsError, ValueError) as error:
        raise ConfigurationError(
            f"The setting rate_limit_storage names no Redis: {urlsplit(url).scheme}://….",
            hint="use redis://:password@host:6379/0, or rediss://",
        ) from error


def _storage(url: str) -> Any:
    """Make limits' own storage. A connection that breaks is not tried again while a request waits for it."""
    return storage_from_string(
        f"async+{url}",
        implementation="redispy",
        wrap_exceptions=True,
        key_prefix=_PREFIX,
        socket_connect_timeout=ASK_TIME,
        socket_timeout=ASK_TIME,
    )
