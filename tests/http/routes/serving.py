"""A real HTTP server on localhost, in a thread of its own, with all that `diptych serve` serves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from api.cli.serving.house import built
from api.cli.serving.wanted import ALL
from api.http import ApiConfig, hosting
from api.http.caller import anyone
from api.telemetry.serving import telemetry
from persistence import AsyncPersistenceService, PersistenceConfig

MEMORY = ("memory://", "memory://")


class Served:
    """What is served, and where: ``url``; ``host`` belongs to the loop of the server's thread."""

    def __init__(self, stores: tuple[str, str] | tuple[None, None], config: PersistenceConfig, api: ApiConfig) -> None:
        self._stores, self._config, self._api = stores, config, api
        self.ready = threading.Event()
        self.url = ""
        self.host: Any = None
        self.server: Any = None
        self.loop: Any = None

    async def run(self) -> None:
        vector, graph = self._stores
        async with (
            telemetry({}) as seen,
            AsyncPersistenceService.connect(
                vector=vector, graph=graph, config=self._config, observer=seen.observer
            ) as memories,
            hosting(memories, self._api) as self.host,
            built(self.host, anyone, seen, ALL) as app,
        ):
            settings = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
            self.server, self.loop = _Told(settings, self.ready), asyncio.get_running_loop()
            await self.server.serve()


class _Told(uvicorn.Server):
    """A server that says when it listens, and leaves signals to the tests."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    def capture_signals(self) -> Any:
        return contextmanager(lambda: iter([None]))()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._ready.set()


@contextmanager
def served(
    stores: tuple[str, str] | tuple[None, None] = MEMORY,
    config: PersistenceConfig | None = None,
    api: ApiConfig | None = None,
) -> Iterator[Served]:
    """Serve for the time of the block."""
    what = Served(stores, config or PersistenceConfig(), api or ApiConfig())
    thread = threading.Thread(target=lambda: asyncio.run(what.run()), daemon=True)
    thread.start()
    assert what.ready.wait(60)
    what.url = f"http://127.0.0.1:{what.server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield what
    finally:
        what.server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
