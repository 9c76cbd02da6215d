"""`status`, `runs`, `check`, `repair`: the state of the stores, and what brings them in step."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.access import ADMIN, READ
from api.mcp import answers, given
from api.mcp.progress import telling
from api.mcp.state import state
from api.mcp.tool import Call, Tool
from api.operating import Order
from api.shapes import Json
from persistence.errors import RunNotFoundError
from sync import CheckReport, RepairReport, Run, RunKind
from sync.reports import check_json, repair_json, run_json


async def status(call: Call, asked: given.Status) -> Json:
    """Say whether both stores answer, and how much is in doubt."""
    return await state(call.host.memories, call.host.sync, call.caller.tenant(asked.user_id))


async def runs(call: Call, asked: given.Runs) -> Json:
    """List runs, or show one."""
    user_id = call.caller.tenant(asked.user_id)
    if asked.id is not None:
        return {"runs": [run_json(await _run(call, asked.id))], "next": None}
    found = await call.host.sync.list_runs(
        kind=asked.kind, user_id=user_id, state=asked.state, before=asked.before, limit=asked.limit
    )
    more = len(found) == asked.limit
    return {"runs": [_in_short(run) for run in found], "next": str(found[-1].id) if more else None}


async def _run(call: Call, run_id: UUID) -> Run:
    """Return a run; another tenant's is one that is not there. Raises RunNotFoundError."""
    run = await call.host.sync.get_run(run_id)
    if call.caller.user_id not in {None, run.user_id}:
        raise RunNotFoundError
    return run


def _in_short(run: Run) -> Json:
    """Return a run without its lists: a page of them would have no bound."""
    whole = run_json(run)
    return {**whole, "request": _scalars(whole["request"]), "report": whole["report"] and _scalars(whole["report"])}


def _scalars(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _scalars(inner) for name, inner in value.items() if not isinstance(inner, list)}
    return value


async def check(call: Call, asked: given.Check) -> Json:
    """Compare both stores."""
    async with telling(call.send) as tell:
        report = await _order(call, asked, RunKind.CHECK).carry(call.host.sync, tell)
    if not isinstance(report, CheckReport):
        raise TypeError(type(report))
    return check_json(report)


async def repair(call: Call, asked: given.Repair) -> Json:
    """Bring the graph to what truth says, or say what that would do."""
    if asked.check_run_id is not None:
        await _run(call, asked.check_run_id)
    order = _order(
        call,
        asked,
        RunKind.REPAIR,
        run_id=asked.check_run_id,
        dry_run=not asked.apply,
        strategy=asked.strategy,
        force=asked.force,
    )
    async with telling(call.send) as tell:
        report = await order.carry(call.host.sync, tell)
    if not isinstance(report, RepairReport):
        raise TypeError(type(report))
    return repair_json(report)


def _order(call: Call, asked: given.Check, operation: RunKind, **besides: Any) -> Order:
    user_id = call.tenant(asked.user_id) if asked.ids else call.caller.tenant(asked.user_id)
    return Order(operation, depth=asked.depth, user_id=user_id, ids=asked.ids, limit=asked.limit, **besides)


TOOLS = (
    Tool(
        name="status",
        title="State of the stores",
        description="Say whether both stores answer, how much they hold, how many memories are in doubt, and what the "
        "last checks found. Null is what could not be obtained.",
        scope=READ,
        given=given.Status,
        answer=answers.Status,
        run=status,
        any_tenant=True,
    ),
    Tool(
        name="runs",
        title="Runs",
        description="List checks, repairs, rebuilds and full syncs, the newest first; with an id, one with its report.",
        scope=READ,
        given=given.Runs,
        answer=answers.Runs,
        run=runs,
        any_tenant=True,
    ),
    Tool(
        name="check",
        title="Check the stores",
        description="Compare both stores, both ways, and say what differs. It changes no memory and no graph; what it "
        "finds is recorded. Cancelled, it can be taken up again.",
        scope=ADMIN,
        given=given.Check,
        answer=answers.CheckReport,
        run=check,
        changes=True,
        any_tenant=True,
    ),
    Tool(
        name="repair",
        title="Repair the graph",
        description="Bring the graph to what truth says. A dry run unless apply is true: look at its plan first.",
        scope=ADMIN,
        given=given.Repair,
        answer=answers.RepairReport,
        run=repair,
        changes=True,
        destroys=True,
        any_tenant=True,
    ),
)
