"""`/persistence/sync/runs`: runs listed, shown, watched, stopped, taken up again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, JSONServerSentEvent

from api.access import Principal
from api.http.models.sync import CancelledTold, RunsQuery, RunsTold, RunTold
from api.http.routes.asking import Hosted, Operator, Reader, answers
from api.http.routes.sync import RUN, run_response
from api.operating import Desk
from api.shapes import cancelled_json
from persistence.errors import RunNotFoundError
from persistence.ports.runs import Run, RunState
from sync import Progress
from sync.reports import progress_json, run_json

#: Seconds between two signs of life of a stream in which nothing happens, and that one of them may take.
HEARTBEAT, SEND_TIME = 10.0, 30.0
#: Milliseconds after which a client that lost the stream comes again.
COME_AGAIN = 2_000
#: The id of the last event: whoever has it need not come again.
DONE = "done"

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The last event that was received.")]


async def list_runs(caller: Reader, host: Hosted, asked: Annotated[RunsQuery, Query()]) -> dict[str, Any]:
    """List runs, the newest first."""
    runs = await host.sync.list_runs(
        kind=asked.kind,
        user_id=caller.tenant(asked.user_id),
        state=asked.state,
        before=asked.after,
        limit=asked.limit + 1,
    )
    page = runs[: asked.limit]
    return {"runs": list(map(run_json, page)), "next": str(page[-1].id) if len(runs) > asked.limit else None}


async def show_run(caller: Reader, host: Hosted, run_id: UUID) -> dict[str, Any]:
    """Show one run."""
    return run_json(await _mine(caller, host.desk, run_id))


async def events(caller: Reader, host: Hosted, run_id: UUID, last_event_id: LastEventId = None) -> Response:
    """Tell how far a run is as server-sent events: `progress` (or `run`, where another process leads it), then `done`.

    The data of `progress` is how far it is, that of the others the run. A stream that ends without `done` was ended by
    the server: come again. 204 where the run has ended and its `done` was received.
    """
    run = await _mine(caller, host.desk, run_id)
    if last_event_id == DONE and run.state is not RunState.RUNNING:
        return Response(status_code=204)
    return EventSourceResponse(
        _events(host.desk, run_id), ping=HEARTBEAT, send_timeout=SEND_TIME, headers={"Cache-Control": "no-store"}
    )


async def _events(desk: Desk, run_id: UUID) -> AsyncIterator[JSONServerSentEvent]:
    number = 0
    async with aclosing(desk.events(run_id)) as steps:
        async for step in steps:
            number += 1
            yield _event(step, number)


def _event(step: Progress | Run, number: int) -> JSONServerSentEvent:
    if isinstance(step, Progress):
        return JSONServerSentEvent(progress_json(step), event="progress", id=str(number), retry=COME_AGAIN)
    if step.state is RunState.RUNNING:
        return JSONServerSentEvent(run_json(step), event="run", id=str(number), retry=COME_AGAIN)
    return JSONServerSentEvent(run_json(step), event="done", id=DONE)


async def cancel(caller: Operator, host: Hosted, run_id: UUID) -> dict[str, Any]:
    """Ask a run to stop, wherever it runs; it can be resumed. Asking again changes nothing."""
    before = await _mine(caller, host.desk, run_id)
    return cancelled_json(before, await host.sync.cancel_run(run_id))


async def resume(request: Request, caller: Operator, host: Hosted, run_id: UUID) -> Response:
    """Take up a run that was interrupted or cancelled, or whose process died."""
    await _mine(caller, host.desk, run_id)
    return run_response(request, await host.desk.resume(run_id))


async def _mine(caller: Principal, desk: Desk, run_id: UUID) -> Run:
    """Return a run that the caller may see. Raises RunNotFoundError, also where it is another tenant's."""
    run = await desk.sync.get_run(run_id)
    if caller.user_id not in {None, run.user_id}:
        raise RunNotFoundError
    return run


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/persistence/sync/runs", tags=["sync"])
    router.add_api_route("", list_runs, **answers(RunsTold))
    router.add_api_route("/{run_id}", show_run, name=RUN, **answers(RunTold, 404))
    stream = {
        200: {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "The run has ended, and that was received."},
    }
    router.add_api_route(
        "/{run_id}/events", events, response_class=EventSourceResponse, **answers(None, 404, also=stream)
    )
    router.add_api_route("/{run_id}/cancel", cancel, methods=["POST"], **answers(CancelledTold, 404))
    router.add_api_route("/{run_id}/resume", resume, methods=["POST"], **answers(RunTold, 404, 409, status=202))
    return router
