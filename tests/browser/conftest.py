"""A real browser on real pages: Chromium, a server on localhost, Postgres and Neo4j behind it."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import uvicorn
from fastapi import Request
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, async_playwright, expect

from api.access import LOCAL, Principal, Unauthenticated
from api.http import ApiConfig, Host, create_app, hosting
from persistence import AsyncPersistenceService
from tests.conftest import installed
from tests.faults.stores import Stores

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ARTIFACTS = Path(__file__).parent / "artifacts"
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 375, "height": 760}
#: Milliseconds that a page gets to show what it should; a busy machine takes its time.
PATIENCE = 15_000
#: Tells of what the policy stopped, also where the browser's console would not.
TELLING = "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium; one that is not there is installed, where this can be done."""
    why = None if _found() else installed("chromium")
    found = _found()
    if found is None:
        pytest.skip(f"There is no Chromium, and none could be installed. {why}")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Return a browser with a profile of its own, thrown away afterwards."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium, headless=True, chromium_sandbox=False, args=list(FLAGS)
        )
        yield started
        await started.close()


class Server(uvicorn.Server):
    """A server within the test's own event loop; the signals stay the test's."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
        )

    @property
    def url(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        task = asyncio.create_task(self._serve(), name="server")
        while not self.started:  # it tells nobody
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.01)
        try:
            yield self.url
        finally:
            self.should_exit = True
            await task


@dataclass
class Watch:
    """What a page must not do, and did."""

    home: str
    wrong: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def look_at(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.wrong.append(f"script: {error.error}"))
        context.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(text in message.text for text in self.expected):
            self.wrong.append(f"{message.type}: {message.text}")

    def _request(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.home).netloc and not url.startswith("data:"):
            self.wrong.append(f"foreign: {url}")


@dataclass
class Site:
    """One server with its stores, and a browser that looks at it."""

    stores: Stores
    host: Host
    url: str
    browser: Browser
    watch: Watch
    contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def memories(self) -> AsyncPersistenceService:
        return self.host.memories

    async def context(self, **options: Any) -> BrowserContext:
        made = await self.browser.new_context(**{"viewport": DESKTOP, "base_url": self.url, **options})
        made.set_default_timeout(PATIENCE)
        await made.add_init_script(TELLING)
        self.watch.look_at(made)
        self.contexts.append(made)
        return made

    async def page(self, path: str = "/dashboard", **options: Any) -> Page:
        page = await (await self.context(**options)).new_page()
        await page.goto(path)
        return page

    async def close(self) -> None:
        for context in self.contexts:
            await context.close()


#: Principals by the key that their browser sends as a password.
Keys = dict[str, Principal]


def by_key(keys: Keys) -> Callable[[Request], Awaitable[Principal]]:
    """Return an authentication that knows these keys."""

    async def authenticate(request: Request) -> Principal:
        given = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic "))
        key = given.decode().partition(":")[2]
        if key not in keys:
            raise Unauthenticated
        return keys[key]

    return authenticate


async def _local(request: Request) -> Principal:
    return LOCAL


Open = Callable[..., Any]


@pytest.fixture
def opening(browser: Browser, postgres_url: str, pg_schema: str, clean_neo4j: str) -> Open:
    """Return what opens a site on the test's own stores; when it closes, nothing may have gone wrong in the browser."""

    @asynccontextmanager
    async def opened(*, read_only: bool = False, keys: Keys | None = None, **settings: Any) -> AsyncIterator[Site]:
        stores = Stores(postgres_url, pg_schema, clean_neo4j)
        async with (
            stores.service(**settings) as memories,
            hosting(memories, ApiConfig(read_only=read_only)) as host,
            Server(create_app(host, authenticate=by_key(keys) if keys else _local)).running() as url,
        ):
            site = Site(stores, host, url, browser, Watch(url))
            try:
                yield site
            finally:
                await site.close()
            assert site.watch.wrong == []

    return opened
