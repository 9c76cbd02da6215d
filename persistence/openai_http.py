"""JSON over HTTP to an OpenAI-compatible endpoint: what the embedder and the extractor have in common.

An attempt that may go well another time (429, 5xx, no connection, no answer in time) is repeated, not before the
server's ``Retry-After`` and within a number of attempts and a total time; every other refusal is final. No message
holds the key, and of a server's answer at most the start of its own error message.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import anyio.to_thread
from pydantic import SecretStr

from persistence.errors import ConfigurationError, PersistenceError
from persistence.extras import needing
from persistence.retry import Retry

with needing("openai"):
    import httpx

MAX_ANSWER = 64 << 20
#: An answer above so many bytes is parsed in a thread.
INLINE = 1 << 16
MAX_REASON = 120
TOO_MANY = 429
UNAUTHORISED = frozenset({401, 403})

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try: seconds for one attempt and for all, attempts, and what waits of the server are respected.

    ``delay`` (doubled each time, up to ``max_delay``) is the wait where the server names none; a ``Retry-After``
    counts up to ``max_retry_after`` seconds. No attempt begins after ``total`` seconds.
    """

    timeout: float = 30.0
    total: float = 120.0
    attempts: int = 4
    delay: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 60.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The errors of one port: for what will not change by waiting, and for what may."""

    refused: type[PersistenceError]
    unavailable: type[PersistenceError]


class _Again(Exception):  # noqa: N818  # never leaves this module
    """An attempt that may go well another time, after ``wait`` seconds at least."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        self.message = message
        self.wait = wait
        super().__init__(message)


class Endpoint:
    """One URL that takes POSTs of JSON. Connects when first used; safe to use by many tasks at once."""

    def __init__(
        self,
        base_url: str,
        path: str,
        api_key: SecretStr | None,
        failures: Failures,
        patience: Patience,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = _url(base_url, path)
        self.name = str(self._url.copy_with(userinfo=b"", query=None))
        self._key = _key(api_key)
        self._failures = failures
        self._patience = patience
        self._retry = Retry(patience.attempts, patience.delay, patience.max_delay, patience.total, sleep=sleep)
        self._now = now
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def post(self, body: Mapping[str, Any]) -> Any:
        """Return the answer's JSON. Raises one of the failures."""
        content = json.dumps(body, allow_nan=False).encode()
        try:
            return await self._retry.call(self._attempt, content, retry_on=_again)
        except _Again as error:
            raise self._failures.unavailable(error.message) from (error.__cause__ or error)

    async def close(self) -> None:
        """Release the connections. Safe to call twice."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def refuse(self, what: str) -> PersistenceError:
        """Make the error for an answer that cannot be used; ``what`` completes "The endpoint …"."""
        return self._failures.refused(f"The endpoint {self.name} {what}.")

    async def _attempt(self, content: bytes) -> Any:
        client = await self._opened()
        try:
            async with (
                asyncio.timeout(self._patience.timeout),
                client.stream("POST", self._url, content=content, headers=self._headers()) as response,
            ):
                answer = await self._read(response)
        except (httpx.TransportError, TimeoutError) as error:
            raise _Again(f"The endpoint {self.name} gave no answer ({type(error).__name__}).") from error
        except httpx.HTTPError as error:
            raise self.refuse(f"gave an answer that cannot be read ({type(error).__name__})") from error
        self._check_status(response, answer)
        return await self._parsed(answer)

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._closed:
                raise self._failures.refused(f"The connection to {self.name} was closed.")
            if self._client is None:  # in a thread, because reading the certificates takes tens of milliseconds
                self._client = await anyio.to_thread.run_sync(self._make_client)
            return self._client

    def _make_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=self._patience.timeout, follow_redirects=False)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return headers

    async def _read(self, response: httpx.Response) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > MAX_ANSWER:
                raise self.refuse(f"gave an answer of more than {MAX_ANSWER >> 20} MiB")
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_status(self, response: httpx.Response, answer: bytes) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        message = f"answered {status}{'' if status in UNAUTHORISED else self._reason(answer)}"
        if status == TOO_MANY or response.is_server_error:
            wait = retry_after(response.headers.get("Retry-After"), self._now())
            capped = None if wait is None else min(wait, self._patience.max_retry_after)
            raise _Again(f"The endpoint {self.name} {message}.", capped)
        hint = "check the key" if status in UNAUTHORISED else "check the endpoint's URL and the model's name"
        raise self._failures.refused(f"The endpoint {self.name} {message}.", hint=hint)

    def _reason(self, answer: bytes) -> str:
        """Return the start of the server's own error message, where it has one, without the key."""
        try:
            found = json.loads(answer)["error"]["message"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""
        text = " ".join("".join(c if c.isprintable() else " " for c in str(found)).split()).rstrip(".")
        if self._key is not None:
            text = text.replace(self._key.get_secret_value(), "***")
        return f": {text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + '…'}" if text else ""

    async def _parsed(self, answer: bytes) -> Any:
        try:
            if len(answer) <= INLINE:
                return json.loads(answer)
            return await anyio.to_thread.run_sync(json.loads, answer)
        except (ValueError, RecursionError) as error:
            raise self.refuse("gave an answer that is not JSON") from error


async def each(func: Callable[[T], Awaitable[R]], items: Sequence[T], at_once: int) -> list[R]:
    """Await ``func`` for every item, ``at_once`` at a time; the first error cancels the others and is raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with gate:
            return await func(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as group_error:
        first = group_error.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, None where it asks for nothing that can be read."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (zoned - now).total_seconds())


def _again(error: BaseException) -> bool | float:
    if not isinstance(error, _Again):
        return False
    return True if error.wait is None else error.wait


def _url(base_url: str, path: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigurationError("The endpoint's base URL cannot be read.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("The endpoint's base URL must begin with http:// or https:// and name a host.")
    return url.copy_with(path=f"{url.path.rstrip('/')}/{path}")


def _key(api_key: SecretStr | None) -> SecretStr | None:
    """Return the key as it may stand in a header; None for an empty one."""
    key = api_key.get_secret_value().strip() if api_key is not None else ""
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("The endpoint's key holds characters that a key cannot have.")
    return SecretStr(key)
