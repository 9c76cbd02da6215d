"""The graph of a migration: a new one becomes the graph of a truth, and is written from it."""

from __future__ import annotations

from typing import Any

from api.cli._run import Cli
from persistence.ports.vector import GraphIdentity
from sync import AsyncSyncService
from sync.model import OnProgress
from sync.reports import check_json, rebuild_json


async def move_graph(cli: Cli, vector_url: str, graph_url: str, progress: OnProgress) -> dict[str, Any]:
    """Register the graph for the truth, rebuild it, work the outbox off, and check.

    A graph that was registered before is not written anew: what it lacks is in the outbox.
    """
    service = cli.service(vector_url=vector_url, graph_url=graph_url, graph_required=True)
    former = await _registered(cli, vector_url)
    await service.open(adopt_graph=True)
    try:
        sync, truth = AsyncSyncService(service), service.parts.truth.store
        adopted = (await truth.info()).graph != former
        rebuilt = await sync.rebuild_graph(progress=progress) if adopted else None
        relayed = await service.drain()
        check = check_json(await sync.check_consistency(progress=progress))
    finally:
        await service.close()
    return {
        "adopted": adopted,
        "rebuild": None if rebuilt is None else dict(rebuild_json(rebuilt)),
        "pending": relayed.pending,
        "dead": relayed.dead,
        "check": dict(check),
        "complete": check["complete"] and (rebuilt is None or rebuilt.complete),
        "in_step": check["in_step"],
    }


async def planned_graph(cli: Cli, vector_url: str) -> dict[str, Any]:
    """Say how many memories a new graph would be written from."""
    async with cli.service(vector_url=vector_url, graph_url="none://") as service:
        count = await service.parts.truth.store.count(None, bound=10_000_000)
    return {"dry_run": True, "memories": count.value, "complete": True, "in_step": False}


async def _registered(cli: Cli, vector_url: str) -> GraphIdentity | None:
    async with cli.service(vector_url=vector_url, graph_url="none://") as service:
        return (await service.parts.truth.store.info()).graph
