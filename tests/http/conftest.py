from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.access.gate import open_gate
from api.http import ApiConfig, Host, authenticating, create_app, hosting
from api.http.faces import ROUTERS, Face
from persistence import AsyncPersistenceService
from tests.http.demo import make_demo
from tests.http.keyring import Keys
from tests.redis_server import redis  # noqa: F401  # a fixture

Client = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def memories() -> AsyncIterator[AsyncPersistenceService]:
    """Give a service whose stores are in this process."""
    async with AsyncPersistenceService.connect(vector="memory://", graph="memory://") as service:
        yield service


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every app that is made have the routes of `demo.py` besides its own."""
    monkeypatch.setitem(ROUTERS, Face.API, (*ROUTERS[Face.API], make_demo))


@pytest.fixture
async def client(memories: AsyncPersistenceService, keys: Keys, tmp_path: Path) -> AsyncIterator[Client]:
    """Make clients of apps that let in who has one of ``keys``; settings are given by keyword."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> httpx.AsyncClient:
            config = ApiConfig(**{"keys_file": keys.file.path, **settings})
            host: Host = await stack.enter_async_context(hosting(memories, config))
            gate = await open_gate(config, tmp_path)
            app = create_app(host, authenticate=authenticating(gate))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            http = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            http.app = app  # type: ignore[attr-defined]  # for tests that look at it
            return await stack.enter_async_context(http)

        yield make
