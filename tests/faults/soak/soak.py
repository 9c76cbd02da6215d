"""One soak: servers, proxies, the worker, faults and samples, from the start to the verdict."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg
from psycopg import sql

from tests.faults.soak.drawing import draw
from tests.faults.soak.nemesis import Nemesis, Scene
from tests.faults.soak.proxy import Proxy, Streams
from tests.faults.soak.verdict import TOLERANCES, Verdict, judge
from tests.faults.stores import Stores

COLUMNS = ("t", *TOLERANCES, "pool", "pool_waiting", "operations", "faults")
_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'diptych'"
#: Seconds in which a server has to say its counts.
ASK = 0.9
#: Pending entries are counted up to this many.
_PENDING = "SELECT count(*) FROM (SELECT FROM {}.outbox LIMIT 100000) AS o"


@dataclass
class Soak:
    """One run: what it is of, and what has been seen of it. ``done`` counts the faults."""

    seconds: float
    seed: int
    out: Path
    tell: Callable[[str], None]
    samples: list[dict[str, Any]] = field(default_factory=list)
    end: Mapping[str, Any] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    _begun: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    async def run(self, postgres: Any, neo4j: Any) -> Verdict:
        """Run it on these servers, which are its own to break; write down what was seen."""
        schema = f"soak_{uuid.uuid4().hex[:12]}"
        async with _scene(postgres, neo4j) as (scene, urls):
            stores = Stores(urls[0], schema, urls[1])
            nemesis = Nemesis(scene, self.seed)
            await self._carry(stores, nemesis)
        self.done = nemesis.done
        verdict = judge(self.samples, self.end)
        await asyncio.to_thread(self._write_down, verdict)
        return verdict

    async def _carry(self, stores: Stores, nemesis: Nemesis) -> None:
        calm = asyncio.Event()
        task = json.dumps({"stores": asdict(stores), "seed": self.seed})
        command = [sys.executable, "-m", "tests.faults.soak.worker", task]
        root = Path(__file__).parents[3]
        pipe = asyncio.subprocess.PIPE
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / "worker.log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(*command, cwd=root, stdin=pipe, stdout=pipe, stderr=log)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(worker, stores.schema, nemesis))
                await _either(listening, self._begun.wait())
                breaking = group.create_task(nemesis.run(calm))
                await asyncio.wait([listening], timeout=self.seconds)
                calm.set()
                await breaking
                worker.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        finally:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()

    async def _listen(self, worker: asyncio.subprocess.Process, schema: str, nemesis: Nemesis) -> None:
        """Take down what the worker says until it ends, each line with what is seen of it from outside."""
        started, process = time.monotonic(), psutil.Process(worker.pid)
        assert worker.stdout is not None
        while line := await worker.stdout.readline():
            said = json.loads(line)
            if "end" in said:
                self.end = said["end"]
                return
            self._begun.set()
            faults, nemesis.latest = nemesis.latest, []
            seen = _seen(process) | await _counted(nemesis.scene.postgres.url, schema)
            self.samples.append(
                {"t": round(time.monotonic() - started, 1), **said, **seen, "faults": ", ".join(faults)}
            )
            self._progress()

    def _progress(self) -> None:
        if len(self.samples) % 30 == 0:
            one = self.samples[-1]
            self.tell(" ".join(f"{name}={one.get(name)}" for name in COLUMNS if name != "faults"))

    def _write_down(self, verdict: Verdict) -> None:
        with (self.out / "samples.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.samples)
        (self.out / "soak.svg").write_text(draw(self.samples, list(TOLERANCES)), "utf-8")
        said = {"seed": self.seed, "seconds": self.seconds, "faults_done": dict(self.done), **verdict.as_json()}
        (self.out / "verdict.json").write_text(f"{json.dumps(said, indent=2)}\n", "utf-8")


async def _either(task: asyncio.Task[None], event: Coroutine[Any, Any, Any]) -> None:
    """Wait for a task's end or for something else: no fault comes before the service is open."""
    other = asyncio.ensure_future(event)
    await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
    other.cancel()


def _seen(process: psutil.Process) -> dict[str, Any]:
    with process.oneshot():
        rss = round(process.memory_info().rss / 2**20, 1)
        return {"rss_mb": rss, "fds": process.num_fds(), "threads": process.num_threads()}


async def _counted(url: str, schema: str) -> dict[str, Any]:
    """Count connections and pending entries past the proxy; None where the server does not answer now."""
    pending = sql.SQL(_PENDING).format(sql.Identifier(schema))
    try:
        async with asyncio.timeout(ASK), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            counts = [await (await connection.execute(query)).fetchone() for query in (_BACKENDS, pending)]
    except (psycopg.Error, TimeoutError):
        return {"backends": None, "pending": None}
    return {"backends": counts[0][0], "pending": counts[1][0]}  # type: ignore[index]  # a count is always a row


@asynccontextmanager
async def _scene(postgres: Any, neo4j: Any) -> AsyncIterator[tuple[Scene, tuple[str, str]]]:
    """Put a proxy before each server; gives their URLs through it."""
    graph = urlsplit(neo4j.url)

    async def to_neo4j() -> Streams:
        return await asyncio.open_connection(graph.hostname, graph.port)

    scene = Scene(postgres, neo4j, Proxy(lambda: _to_postgres(postgres.url)), Proxy(to_neo4j))
    async with scene.before_postgres.listening() as truth_port, scene.before_neo4j.listening() as graph_port:
        password = f"{graph.username}:{graph.password}@" if graph.username else ""
        behind = graph._replace(scheme="bolt", netloc=f"{password}127.0.0.1:{graph_port}").geturl()
        yield scene, (_through(postgres.url, truth_port), behind)


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    who = parts.netloc.rpartition("@")[0]
    return f"postgresql://{who}@127.0.0.1:{port}{parts.path}"


async def _to_postgres(url: str) -> Streams:
    """Reach the server by its Unix socket, where its URL names one, or by its address."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    if "host" in options:
        return await asyncio.open_unix_connection(f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}")
    return await asyncio.open_connection(parts.hostname, parts.port)
