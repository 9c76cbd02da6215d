"""What the HTTP layer adds to a ``store``, what many clients at once get, and how soon the status comes.

Client and server share this process, so their common time is in the figures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn

from api.http import ApiConfig, create_app, hosting
from benchmarks.results import Line, Section, Target, percentile
from benchmarks.sides.service import Service
from benchmarks.workload import Item, Workload

#: Milliseconds that HTTP may add to a store at p50, and that the status may take.
ADDED_MS, STATUS_MS = 3.0, 50.0
BLOCK, STATUSES, CLIENTS = 25, 100, 50


@dataclass(frozen=True, slots=True)
class Sizes:
    """Single writes each way; seconds for which many clients write at once."""

    writes: int
    seconds: float


async def measure(service: Service, sizes: Sizes, seed: int) -> AsyncIterator[Section]:
    """Measure on an open service."""
    async with _serving(service) as client:
        yield await _added(service, client, sizes.writes, Workload(seed))
        yield await _many(client, sizes.seconds, seed)
        yield await _status(client)


@asynccontextmanager
async def _serving(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the service on localhost, and yield a client of it."""
    async with hosting(service.memories, ApiConfig(rate_limit="")) as host:
        config = uvicorn.Config(create_app(host), port=0, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  # it does not tell
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60) as client:
            yield client
        server.should_exit = True
        await serving


def _body(item: Item) -> bytes:
    return json.dumps(item.fields(), default=lambda array: array.tolist()).encode()


async def _post(client: httpx.AsyncClient, body: bytes) -> int:
    return (await client.post("/memories", content=body, headers={"Content-Type": "application/json"})).status_code


async def _added(service: Service, client: httpx.AsyncClient, writes: int, work: Workload) -> Section:
    """Store by a call and by a request, in turns; as many before that are not counted."""
    ways: dict[str, list[float]] = {"service call": [], "HTTP": []}
    for start in range(0, 2 * writes, BLOCK):
        if start <= writes < start + BLOCK:
            ways["service call"].clear()
            ways["HTTP"].clear()
        for name, seconds in ways.items():
            for item in work.items(BLOCK, f"http {name}"):
                ready, body = await service.ready([item]), _body(item)
                started = time.perf_counter()
                await (service.store(ready) if name == "service call" else _post(client, body))
                seconds.append(time.perf_counter() - started)
            await service.rest()
    return _added_section(ways, writes)


def _added_section(ways: dict[str, list[float]], writes: int) -> Section:
    section = Section("http", f"http: one store by a call and by a request, {writes} each, in turns of {BLOCK}")
    base = percentile(ways["service call"], 0.5)
    for name, seconds in ways.items():
        p50, p95 = percentile(seconds, 0.5), percentile(seconds, 0.95)
        figures = {"p50_ms": p50 * 1000, "p95_ms": p95 * 1000, "added_ms": (p50 - base) * 1000, "ratio": p50 / base}
        section.lines.append(Line(name, figures))
        section.samples[f"{name} seconds"] = seconds
    added = section.lines[1].figures["added_ms"]
    section.targets.append(Target("http, ms added to store at p50", added, ADDED_MS, at_most=True))
    return section


@dataclass(slots=True)
class _Tally:
    seconds: list[float] = field(default_factory=list)
    errors: int = 0


async def _many(client: httpx.AsyncClient, seconds: float, seed: int) -> Section:
    """Have many clients store at once, for so long."""
    tally, until = _Tally(), time.perf_counter() + seconds
    await asyncio.gather(*[_one_of_many(client, until, Workload(seed + 1 + i), i, tally) for i in range(CLIENTS)])
    title = f"http_many: {CLIENTS} clients store at once for {seconds:g} s"
    figures = {
        "requests": float(len(tally.seconds)),
        "per_second": len(tally.seconds) / seconds,
        "p50_ms": percentile(tally.seconds, 0.5) * 1000,
        "p99_ms": percentile(tally.seconds, 0.99) * 1000,
        "errors": float(tally.errors),
    }
    section = Section("http_many", title, [Line("HTTP", figures)])
    section.targets.append(Target("http, errors with many clients", float(tally.errors), 0.0, at_most=True))
    return section


async def _one_of_many(client: httpx.AsyncClient, until: float, work: Workload, number: int, tally: _Tally) -> None:
    while time.perf_counter() < until:
        for item in work.items(BLOCK, f"http many {number}"):
            body = _body(item)
            started = time.perf_counter()
            status = await _post(client, body)
            tally.seconds.append(time.perf_counter() - started)
            tally.errors += status != httpx.codes.CREATED
            if time.perf_counter() >= until:
                return


async def _status(client: httpx.AsyncClient) -> Section:
    """Ask for the status, one time after another."""
    took = []
    for _ in range(STATUSES):
        started = time.perf_counter()
        (await client.get("/persistence/status")).raise_for_status()
        took.append(time.perf_counter() - started)
    p50, p99 = percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000
    section = Section(
        "http_status", "http_status: GET /persistence/status", [Line("HTTP", {"p50_ms": p50, "p99_ms": p99})]
    )
    section.targets.append(Target("http, ms for the status at p50", p50, STATUS_MS, at_most=True))
    return section
