"""What the HTTP layer adds to a ``store``, what many clients at once get, and how soon the status comes.

Client and server share this process, so their common time is in the figures; the client is therefore a bare connection
that sends bytes made beforehand and reads no more of the answer than its end.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

import uvicorn

from api.http import ApiConfig, create_app, hosting
from benchmarks.results import Line, Section, Target, percentile
from benchmarks.sides.service import Service
from benchmarks.sync.stage import Stage
from benchmarks.workload import Item, Workload
from persistence import AsyncPersistenceService

#: Milliseconds that HTTP may add to a store at p50, and that the status may take.
ADDED_MS, STATUS_MS = 3.0, 50.0
BLOCK, STATUSES, CLIENTS = 25, 100, 50


@dataclass(frozen=True, slots=True)
class Sizes:
    """Single writes each way; seconds for which many clients write at once."""

    writes: int
    seconds: float


async def measure(service: Service, sizes: Sizes, seed: int) -> AsyncIterator[Section]:
    """Measure writes on an open service."""
    async with _serving(service.memories) as port:
        async with Client(port) as client:
            yield await _added(service, client, sizes.writes, Workload(seed))
        yield await _many(port, sizes.seconds, seed)


async def measure_status(stage: Stage) -> Section:
    """Measure how soon the status comes, of all tenants and of the large one, on stores that are filled."""
    section = Section("http_status", f"http_status: GET /persistence/status, {stage.plan.memories:,} memories")
    async with _serving(stage.memories) as port, Client(port) as client:
        for name, query in {"of all tenants": "", "of the large one": f"?user_id={stage.plan.large.user_id}"}.items():
            line = await _status(name, client, f"/persistence/status{query}")
            section.lines.append(line)
            p50 = line.figures["p50_ms"]
            section.targets.append(Target(f"http, ms for the status {name} at p50", p50, STATUS_MS, at_most=True))
    return section


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def post(self, body: bytes) -> int:
        """Send a memory; return the status."""
        return await self._ask(
            b"POST /memories HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    async def get(self, path: str) -> int:
        """Ask for a path; return the status."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def _ask(self, request: bytes) -> int:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(head.split(b" ", 2)[1])


@asynccontextmanager
async def _serving(memories: AsyncPersistenceService) -> AsyncIterator[int]:
    """Serve the service on localhost, and yield the port."""
    async with hosting(memories, ApiConfig(rate_limit="")) as host:
        config = uvicorn.Config(create_app(host), port=0, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  # it does not tell
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await serving


def _body(item: Item) -> bytes:
    return json.dumps(item.fields(), default=lambda array: array.tolist()).encode()


async def _added(service: Service, client: Client, writes: int, work: Workload) -> Section:
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
                await (service.store(ready) if name == "service call" else client.post(body))
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


async def _many(port: int, seconds: float, seed: int) -> Section:
    """Have many clients store at once, for so long."""
    tally, until = _Tally(), time.perf_counter() + seconds
    await asyncio.gather(*[_one_of_many(port, until, Workload(seed + 1 + i), i, tally) for i in range(CLIENTS)])
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


async def _one_of_many(port: int, until: float, work: Workload, number: int, tally: _Tally) -> None:
    async with Client(port) as client:
        while time.perf_counter() < until:
            for item in work.items(BLOCK, f"http many {number}"):
                body = _body(item)
                started = time.perf_counter()
                status = await client.post(body)
                tally.seconds.append(time.perf_counter() - started)
                tally.errors += status != HTTPStatus.CREATED
                if time.perf_counter() >= until:
                    return


async def _status(name: str, client: Client, path: str) -> Line:
    """Ask for the status, one time after another, the first time included."""
    took = []
    for _ in range(STATUSES):
        started = time.perf_counter()
        if await client.get(path) != HTTPStatus.OK:
            raise RuntimeError("the stores are not healthy")
        took.append(time.perf_counter() - started)
    p50, p99 = percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000
    return Line(name, {"p50_ms": p50, "p99_ms": p99, "first_ms": took[0] * 1000})
