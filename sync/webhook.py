"""The webhook: alerts as POSTs of JSON. Its URL is a secret (whoever knows it can post), so no text here holds it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio.to_thread
from pydantic import SecretStr

from persistence.errors import ConfigurationError, SyncError
from persistence.extras import needing
from persistence.retry import Retry
from sync.alerts import Alert, alert_json

with needing("openai"):
    import httpx

    from persistence.openai_http import retry_after

#: Seconds for one attempt, and after which none begins any more.
ATTEMPT_TIME, RETRY_TIME = 10.0, 60.0
ATTEMPTS, DELAY, MAX_DELAY = 5, 0.5, 8.0
#: Answers that may be another one later, besides all of 5xx.
LATER = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS})


class _Again(Exception):  # noqa: N818  # never leaves this module
    """An attempt that may go well another time, after ``wait`` seconds at least."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        self.message = message
        self.wait = wait
        super().__init__(message)


class _SecretUrl(httpx.URL):
    """A URL that does not show itself: httpx logs that of every request."""

    def __str__(self) -> str:
        return "https://webhook.masked/"

    __repr__ = __str__


class Webhook:
    """A hook that POSTs each alert, and tries again after 5xx, 408, 425, 429 and where there is no answer.

    ``sleep`` is given by tests.
    """

    def __init__(self, url: SecretStr, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._url = _checked(url)
        self._retry = Retry(ATTEMPTS, DELAY, MAX_DELAY, RETRY_TIME, sleep=sleep)

    async def __call__(self, alert: Alert) -> None:
        """Post it. Raises SyncError where it is not taken."""
        content = json.dumps(alert_json(alert)).encode()
        # Made in a thread, because reading the certificates takes tens of milliseconds.
        async with await anyio.to_thread.run_sync(_client) as client:
            try:
                await self._retry.call(self._attempt, client, content, retry_on=_again)
            except _Again as error:
                raise SyncError(error.message) from error.__cause__

    async def _attempt(self, client: httpx.AsyncClient, content: bytes) -> None:
        request = client.build_request("POST", self._url, content=content, headers={"Content-Type": "application/json"})
        request.url = _SecretUrl(request.url)
        try:
            async with asyncio.timeout(ATTEMPT_TIME):
                response = await client.send(request, stream=True)
                await response.aclose()  # whatever it says besides its status
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Again(f"The webhook gave no answer ({type(error).__name__}).") from error
        _check(response)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=ATTEMPT_TIME, follow_redirects=False)


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    message = f"The webhook answered {response.status_code}."
    if response.status_code in LATER or response.is_server_error:
        wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        raise _Again(message, min(wait or 0.0, RETRY_TIME))
    raise SyncError(message, hint="check the setting sync_webhook_url")


def _again(error: BaseException) -> bool | float:
    return error.wait if isinstance(error, _Again) else False


def _checked(secret: SecretStr) -> httpx.URL:
    """Return the URL to post to. Raises ConfigurationError, which does not hold it."""
    try:
        url = httpx.URL(secret.get_secret_value().strip())
    except httpx.InvalidURL:
        raise ConfigurationError("The webhook's URL cannot be read.", hint="check sync_webhook_url") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            "The webhook's URL must begin with http:// or https:// and name a host.", hint="check sync_webhook_url"
        )
    return _SecretUrl(url)
