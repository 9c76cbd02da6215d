"""`/persistence/sync`: statistics, and ordering a check, a repair, a rebuild, a full sync."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.access import Principal
from api.http.models.sync import (
    REPORTS,
    InconsistenciesTold,
    InconsistencyQuery,
    ReportTold,
    RunTold,
    StatsQuery,
    StatsTold,
    SyncAsked,
)
from api.http.routes.asking import Hosted, Operator, Reader, answers, location
from api.operating import Order
from persistence.ports.runs import Run, RunKind
from persistence.text import Name
from sync.reports import recorded_json, run_json, stats_json

IdempotencyKey = Annotated[
    Name | None,
    Header(description="The same order under the same key, given again, means the run that it began before."),
]

#: The name of the route to a run.
RUN = "diptych_run"

_STATES = {"open": True, "resolved": False, "all": None}


async def statistics(caller: Reader, host: Hosted, asked: Annotated[StatsQuery, Query()]) -> dict[str, Any]:
    """Say what the last checks found, how much is open, what repairs and rebuilds have done."""
    return stats_json(await host.sync.get_stats(user_id=caller.tenant(asked.user_id)))


async def begin(
    request: Request, caller: Operator, host: Hosted, asked: SyncAsked, idempotency_key: IdempotencyKey = None
) -> Response:
    """Begin a run: 202 with where to look for it, or 200 with its report if that is waited for and comes in time.

    A run that ends otherwise than with a report is told with 202, its state says how it ended. 409 where one of the
    kind is under way for the tenant; the problem holds it.
    """
    order = _order(asked, caller)
    if idempotency_key is not None:
        order = order.under(idempotency_key)
    run = await host.desk.begin(order, among=caller.user_id)
    if asked.patience:
        run = await host.desk.ended(run.id, within=min(asked.patience, host.config.request_timeout * 0.8))
    return run_response(request, run)


def _order(asked: SyncAsked, caller: Principal) -> Order:
    return Order(
        RunKind(asked.operation),
        depth=asked.depth,
        user_id=caller.tenant(asked.user_id),
        limit=asked.limit,
        dry_run=asked.dry_run,
        strategy=asked.strategy,
        force=asked.force,
        clear_existing=asked.clear_existing,
        re_extract=asked.re_extract,
        pace=asked.pace,
    )


def run_response(request: Request, run: Run) -> Response:
    """Return the report of a run that has one, else the run."""
    where = location(request, RUN, {"run_id": str(run.id)})
    if run.finished_at is not None and run.report is not None and "run_id" in run.report:
        told: ReportTold = REPORTS[run.kind].model_validate(run.report)
        return JSONResponse(told.model_dump(mode="json", exclude_unset=True), 200, where)
    shown = RunTold.model_validate(run_json(run))
    return JSONResponse(shown.model_dump(mode="json", exclude_unset=True), 202, where)


async def inconsistencies(
    caller: Reader, host: Hosted, asked: Annotated[InconsistencyQuery, Query()]
) -> dict[str, Any]:
    """List what checks found, in the order in which it was found."""
    rows = await host.sync.list_inconsistencies(
        user_id=caller.tenant(asked.user_id),
        kind=asked.kind,
        run_id=asked.run_id,
        open=_STATES[asked.state],
        after=asked.after,
        limit=asked.limit + 1,
    )
    page = rows[: asked.limit]
    return {
        "inconsistencies": [recorded_json(row) for row in page],
        "next": page[-1].number if len(rows) > asked.limit else None,
    }


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["sync"])
    router.add_api_route("/persistence/sync", statistics, **answers(StatsTold))
    done = {200: {"model": ReportTold, "description": "The report, where it was waited for and came in time."}}
    router.add_api_route(
        "/persistence/sync", begin, methods=["POST"], **answers(RunTold, 400, 409, 413, 415, status=202, also=done)
    )
    router.add_api_route("/persistence/inconsistencies", inconsistencies, **answers(InconsistenciesTold))
    return router
