"""``diptych import`` of very many lines, as a process of its own: how much it grows, and whether it keeps its rate."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.machine import rss_mb
from benchmarks.results import Line, Section, Target
from benchmarks.workload import Workload

SAMPLE_EVERY = 0.25
GROWTH_MB = 200
#: The last slice may be so much slower than the first before the rate counts as not kept.
KEPT = 0.8
SLICE = 100_000
#: Of fewer lines the ends are too short to compare: the server's statistics are up to a second old.
COMPARABLE = 200_000
#: Shown of what the process says where it failed.
TAIL = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """``seconds`` since the start, rows in the table, resident memory of the process."""

    seconds: float
    rows: int
    rss_mb: float


@dataclass(slots=True)
class Trace:
    """What was seen of one import."""

    lines: int
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def slice(self) -> int:
        """Lines at each end whose rate is compared."""
        return min(SLICE, self.lines // 5)

    def moment(self, rows: int) -> float:
        """Return the second in which so many rows were there, between two samples in proportion."""
        before = Sample(0.0, 0, 0.0)
        for sample in self.samples:
            if sample.rows >= rows:
                share = (rows - before.rows) / max(1, sample.rows - before.rows)
                return before.seconds + share * (sample.seconds - before.seconds)
            before = sample
        return self.seconds

    def rate(self, first: int, last: int) -> float:
        """Return rows a second from row ``first`` to row ``last``."""
        return (last - first) / max(1e-9, self.moment(last) - self.moment(first))


async def measure(postgres: str, schema: str, lines: int, seed: int) -> Section:
    """Import ``lines`` lines without embeddings into an empty store without a graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memories.jsonl"
        await asyncio.to_thread(_write_lines, path, lines, seed)
        async with _empty_schema(postgres, schema) as db:
            trace = await _run(db, postgres, schema, path, lines)
    return _section(trace)


def _write_lines(path: Path, lines: int, seed: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in Workload(seed).lines(lines, "import"):
            file.write(json.dumps(line) + "\n")


@asynccontextmanager
async def _empty_schema(postgres: str, schema: str) -> AsyncIterator[psycopg.AsyncConnection]:
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as db:
        await db.execute(drop)
        try:
            yield db
        finally:
            await db.execute(drop)


async def _run(db: psycopg.AsyncConnection, postgres: str, schema: str, path: Path, lines: int) -> Trace:
    trace, started = Trace(lines), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "import", str(path), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **_settings(postgres, schema)},
    )
    said = asyncio.ensure_future(process.communicate())
    while not said.done():
        rss = rss_mb(process.pid)
        if rss is not None:
            trace.samples.append(Sample(time.perf_counter() - started, await _rows(db, schema), rss))
        await asyncio.wait({said}, timeout=SAMPLE_EVERY)
    trace.seconds = time.perf_counter() - started
    out, err = said.result()
    if process.returncode != 0:
        raise RuntimeError(f"the import ended with {process.returncode}: {err.decode(errors='replace')[-TAIL:]}")
    trace.report = json.loads(out)
    return trace


def _settings(postgres: str, schema: str) -> dict[str, str]:
    return {"DIPTYCH_VECTOR_URL": postgres, "DIPTYCH_GRAPH_URL": "none://", "DIPTYCH_SCHEMA_NAME": schema}


async def _rows(db: psycopg.AsyncConnection, schema: str) -> int:
    """Return the rows inserted so far, by the server's statistics (at most a second old)."""
    cursor = await db.execute(
        "SELECT n_tup_ins FROM pg_stat_all_tables WHERE schemaname = %s AND relname = 'memories'", [schema]
    )
    found = await cursor.fetchone()
    return int(found[0]) if found else 0


def _section(trace: Trace) -> Section:
    part, end = trace.slice, trace.lines
    # From where the first batches are in: the interpreter, the libraries and the pools are there by then.
    base = next((sample.rss_mb for sample in trace.samples if sample.rows), trace.samples[0].rss_mb)
    peak = max(sample.rss_mb for sample in trace.samples)
    first, last = _first_rate(trace, part), trace.rate(end - part, end)
    figures = {
        "seconds": trace.seconds,
        "lines_per_s": end / trace.seconds,
        "first_per_s": first,
        "last_per_s": last,
        "index_s": trace.seconds - trace.moment(end),
        "rss_begin_mb": base,
        "rss_peak_mb": peak,
    }
    section = Section("import", f"diptych import of {end:,} lines, none:// as graph, HNSW built after the load")
    section.lines.append(Line("diptych import", figures))
    section.notes.append(f"first and last: the first and the last {part:,} lines; index: from the last line to the end")
    section.targets = [
        Target("import, growth of the process in MB", peak - base, GROWTH_MB, at_most=True),
    ]
    if end >= COMPARABLE:
        section.targets.append(Target("import, rate of the last lines to the first", last / first, KEPT, at_most=False))
    section.samples = {
        "seconds": [sample.seconds for sample in trace.samples],
        "rows": [sample.rows for sample in trace.samples],
        "rss_mb": [sample.rss_mb for sample in trace.samples],
    }
    return section


def _first_rate(trace: Trace, part: int) -> float:
    """Return the rate of the first slice, counted from the first rows seen: starting up is not importing."""
    begun = next((sample.rows for sample in trace.samples if sample.rows), 0)
    return trace.rate(begun, part) if begun < part else trace.rate(0, part)
