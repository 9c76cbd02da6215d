"""Runs, and one run live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dashboard.answering import page
from api.dashboard.stage import stage_of
from api.dashboard.views.runs import RunView, progress_view, seen_by
from api.dashboard.visitor import Looking, Visitor
from persistence.ports.runs import RunKind, RunState
from sync import Progress

PAGE, FOUND = 50, 50


def add(router: APIRouter) -> None:
    """Add the list of runs, the page of one, and what it says while it goes on."""
    router.add_api_route("/runs", show, methods=["GET"])
    router.add_api_route("/runs/{run_id}", show_one, methods=["GET"])
    router.add_api_route("/runs/{run_id}/events", follow, methods=["GET"])


async def show(
    request: Request,
    visitor: Looking,
    kind: str = "",
    state: str = "",
    before: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Show a page of runs, the newest first."""
    only = RunKind(kind) if kind in set(RunKind) else None
    in_state = RunState(state) if state in set(RunState) else None
    runs = await visitor.host.sync.list_runs(
        kind=only, user_id=visitor.tenant, state=in_state, before=before, limit=PAGE + 1
    )
    return page(
        request,
        visitor,
        "runs.html",
        runs=[RunView(run) for run in runs[:PAGE]],
        following=runs[PAGE - 1].id if len(runs) > PAGE else None,
        kinds=list(RunKind),
        states=list(RunState),
        asked={"kind": only.value if only else "", "state": in_state.value if in_state else "", "before": before},
    )


async def show_one(request: Request, visitor: Looking, run_id: UUID) -> Response:
    """Show one run; while it goes on, the page follows it."""
    view = await _seen(visitor, run_id)
    found = await visitor.host.sync.list_inconsistencies(
        user_id=visitor.tenant, run_id=view.found_by, open=None, limit=FOUND + 1
    )
    return page(request, visitor, "run.html", view=view, found=found[:FOUND], more=len(found) > FOUND)


async def follow(request: Request, visitor: Looking, run_id: UUID) -> Response:
    """Say how far a run is, each time it is further, and ``done`` when it has ended."""
    await _seen(visitor, run_id)
    return EventSourceResponse(_events(request, visitor, run_id))


async def _seen(visitor: Visitor, run_id: UUID) -> RunView:
    return RunView(seen_by(await visitor.host.sync.get_run(run_id), visitor.tenant))


async def _events(request: Request, visitor: Visitor, run_id: UUID) -> AsyncIterator[ServerSentEvent]:
    template = stage_of(request).templates.get_template("_progress.html")
    async for said in visitor.host.desk.events(run_id):
        progress = progress_view(said) if isinstance(said, Progress) else None
        if progress is None and not isinstance(said, Progress) and said.state is not RunState.RUNNING:
            yield ServerSentEvent(event="done", data=said.state.value)
            return
        yield ServerSentEvent(event="progress", data=template.render(progress=progress))
