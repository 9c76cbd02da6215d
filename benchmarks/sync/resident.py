"""How much a process grows by a rebuild: in a process of its own, ``python -m benchmarks.sync.resident TENANT``.

One that has filled stores before has room left within itself: rebuilding 10,000 memories showed 3 to 6 MB there, and
20 MB in a fresh one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

from benchmarks.sync.filling import Tenant
from benchmarks.sync.stage import Stage
from persistence import AsyncPersistenceService
from sync import AsyncSyncService

_SELF = Path("/proc/self")
#: What makes the kernel forget the largest size so far.
_FORGET_PEAK = "5"


async def growth(stage: Stage, tenant: Tenant) -> float:
    """Rebuild a tenant in a fresh process; return by how many MB it grew at most."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sync.resident", tenant.user_id),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **_settings(stage)},
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the rebuild ended with {process.returncode}")
    return float(said)


def _settings(stage: Stage) -> dict[str, str]:
    return {
        "DIPTYCH_VECTOR_URL": stage.urls.postgres,
        "DIPTYCH_GRAPH_URL": stage.urls.neo4j or "",
        "DIPTYCH_SCHEMA_NAME": stage.config.schema_name,
        "DIPTYCH_EMBEDDING_DIMENSION": str(stage.config.embedding_dimension),
        "DIPTYCH_ENABLE_RELAY": "false",
    }


async def _grown(user_id: str) -> float:
    async with AsyncPersistenceService.connect() as memories:
        gc.collect()
        (_SELF / "clear_refs").write_text(_FORGET_PEAK, "ascii")
        before = _mb("VmRSS")
        report = await AsyncSyncService(memories).rebuild_graph(user_id=user_id)
        if not report.complete or not report.memories:
            raise RuntimeError(f"not everything was rebuilt: {report}")
        return _mb("VmHWM") - before


def _mb(field: str) -> float:
    lines = (_SELF / "status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1_024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(asyncio.run(_grown(sys.argv[1])))
