"""The application as `diptych serve` serves it, with metrics and MCP, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from api.access.gate import open_gate
from api.cli.serving.house import built
from api.cli.serving.wanted import ALL
from api.http import ApiConfig, authenticating, hosting
from api.telemetry.serving import telemetry
from persistence import AsyncPersistenceService
from tests.http.keyring import Keys


@asynccontextmanager
async def whole(
    memories: AsyncPersistenceService, keys: Keys, home: Path
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """Build it for who has one of ``keys``. No fixture, since MCP is to be left by the task that has entered it."""
    config = ApiConfig(keys_file=keys.file.path)
    gate = await open_gate(config, home)
    async with (
        telemetry({}) as seen,
        hosting(memories, config) as host,
        built(host, authenticating(gate), seen, ALL) as app,
    ):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield app, http
