"""A server that is told to stop while it is at work: nothing that it said yes to is lost, nothing stays locked."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from persistence import Key
from sync import AsyncSyncService, Depth, RunState
from tests.faults.drifts import fill
from tests.faults.stores import ALICE, BOB, Stores, draft

#: Seconds in which a server that was told to stop has ended, and has while a store answers nothing: less than those
#: after which a supervisor would kill it.
IN_TIME, IN_FROZEN_TIME = 10.0, 30.0
CLIENTS, BEFORE, FILLED = 8, 120, 300


class Serving:
    """A server in a process of its own, and clients that write through it as long as it takes what they send."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.acknowledged: list[Key] = []
        self.refused: list[httpx.Response] = []
        self.enough = asyncio.Event()
        self._numbers = itertools.count()

    async def write(self) -> None:
        """Write one memory after another until the server takes no more."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as http:
            while True:
                memory = draft(next(self._numbers), user_id=BOB, prefix="w")
                try:
                    answer = await http.post("/memories", json=memory)
                except httpx.TransportError:
                    return
                if answer.status_code != 201:
                    self.refused.append(answer)
                    return
                self.acknowledged.append(Key(BOB, memory["id"]))
                if len(self.acknowledged) >= BEFORE:
                    self.enough.set()

    async def ended(self) -> int:
        """Wait for the end of the process; return its exit code."""
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def serving(stores: Stores, home: Path, *options: str) -> AsyncIterator[Serving]:
    """Start a server, and wait until it says that it is ready."""
    environment = {
        **os.environ,
        "DIPTYCH_HOME": str(home),
        "DIPTYCH_VECTOR_URL": stores.postgres,
        "DIPTYCH_GRAPH_URL": stores.neo4j,
        "DIPTYCH_SCHEMA_NAME": stores.schema,
        "DIPTYCH_EMBEDDING_DIMENSION": "8",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "serve", "--json", "--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log = asyncio.ensure_future(process.stderr.read())
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield Serving(process, json.loads(line)["address"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        sys.stdout.write((await log).decode())


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGTERM], id="once"),
        pytest.param([signal.SIGINT, signal.SIGTERM, signal.SIGTERM], id="often", marks=pytest.mark.faults),
    ],
)
async def test_told_to_stop_under_load(stores: Stores, tmp_path: Path, signals: list[signal.Signals]) -> None:
    """Told to stop under load, it ends with 0 in 10 s: every acknowledged write is there, every lease is given back."""
    async with stores.service() as memories:
        await fill(memories, [ALICE], FILLED)
        await AsyncSyncService(memories).check_consistency(Depth.FULL)  # so that none is due when the server begins
    async with serving(stores, tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
            slowly = {"operation": "check", "depth": "full", "rows_per_second": 20}
            run_id = UUID((await http.post("/persistence/sync", json=slowly)).json()["run_id"])
        clients = [asyncio.create_task(server.write()) for _ in range(CLIENTS)]
        await asyncio.wait_for(server.enough.wait(), 60)
        began = time.monotonic()
        for number in signals:
            server.process.send_signal(number)
            await asyncio.sleep(0.05)  # as a person at a keyboard would
        code = await server.ended()
        took = time.monotonic() - began
        await asyncio.gather(*clients)
    assert code == 0
    assert took < IN_TIME
    assert {answer.status_code for answer in server.refused} <= {503}
    await _nothing_is_lost(stores, server.acknowledged, run_id)


async def _nothing_is_lost(stores: Stores, acknowledged: list[Key], run_id: UUID) -> None:
    truth = await stores.truth()
    assert len(acknowledged) >= BEFORE
    assert [key for key in acknowledged if key not in truth] == []
    async with stores.service() as memories:
        sync = AsyncSyncService(memories)
        run = await sync.get_run(run_id)
        assert (run.state, run.lease_expires_at) == (RunState.INTERRUPTED, None)
        assert await stores.rows("SELECT * FROM runs WHERE state = 'running'") == []
        assert await stores.rows("SELECT * FROM leases WHERE expires_at > clock_timestamp()") == []
        assert [entry for entry in await stores.outbox() if not entry["due"]] == []
        await memories.drain()
        await stores.assert_in_step()


@pytest.mark.faults
@pytest.mark.parametrize("which", ["neo4j_server", "postgres_server"])
async def test_told_to_stop_while_a_store_is_frozen(
    own: Stores, tmp_path: Path, request: pytest.FixtureRequest, which: str
) -> None:
    """Told to stop while a store answers nothing, it ends with 0 all the same, and what it said yes to is there."""
    async with serving(own, tmp_path) as server:
        clients = [asyncio.create_task(server.write()) for _ in range(CLIENTS)]
        await asyncio.wait_for(server.enough.wait(), 60)
        with request.getfixturevalue(which).frozen():
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            code = await server.ended()
            took = time.monotonic() - began
        await asyncio.gather(*clients)
    assert code == 0
    assert took < IN_FROZEN_TIME
    truth = await own.truth()
    assert [key for key in server.acknowledged if key not in truth] == []


async def test_told_to_stop_while_it_starts(stores: Stores, tmp_path: Path) -> None:
    """Told to stop before it is ready, it gives up starting and ends with 0."""
    environment = {**os.environ, "DIPTYCH_HOME": str(tmp_path), "DIPTYCH_VECTOR_URL": stores.postgres}
    environment |= {"DIPTYCH_GRAPH_URL": stores.neo4j, "DIPTYCH_SCHEMA_NAME": stores.schema}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "api.cli", "serve", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if line.rstrip().endswith(b" uvicorn"):
            break
    process.send_signal(signal.SIGTERM)
    rest = await process.stderr.read()
    assert await process.wait() == 0
    assert b"Listening" not in rest
