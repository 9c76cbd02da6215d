"""The facts of the machine and of the versions, without which figures say little."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import neo4j
import psycopg

PACKAGES = ("diptych", "psycopg", "pgvector", "neo4j", "neo4j-rust-ext", "numpy", "pydantic")


async def facts(postgres: str, driver: neo4j.AsyncDriver | None) -> dict[str, object]:
    """Return cores, memory, load and every version."""
    return {
        "cores": os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "servers": {**await _postgres(postgres), **(await _neo4j(driver) if driver else {})},
    }


def rss_mb(pid: int) -> float | None:
    """Return the resident memory of a process, None where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 if pages else None


async def _postgres(url: str) -> dict[str, str]:
    async with await psycopg.AsyncConnection.connect(url) as db:
        cursor = await db.execute(
            "SELECT name, setting || coalesce(unit, '') FROM pg_settings WHERE name IN "
            "('server_version', 'shared_buffers', 'synchronous_commit', 'fsync', 'max_wal_size') ORDER BY name"
        )
        found = {f"postgres_{name}": value for name, value in await cursor.fetchall()}
        cursor = await db.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        rows = await cursor.fetchall()
    return {**found, "pgvector": rows[0][0] if rows else "not yet there"}


async def _neo4j(driver: neo4j.AsyncDriver) -> dict[str, str]:
    found = await driver.execute_query(
        "CALL dbms.components() YIELD versions, edition RETURN versions[0] + ' ' + edition"
    )
    return {"neo4j": found.records[0][0]}
