"""What changes anything: forms of our own pages, sent by POST, each confirmed before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from api.dashboard.answering import page
from api.dashboard.views import actions as acts
from api.dashboard.views.actions import Action, Done
from api.dashboard.views.runs import RunView, seen_by
from api.dashboard.visitor import Acting, Visitor, home_of
from api.operating import Order
from persistence.ports.runs import Depth, Run, RunKind, RunState

RunId = Annotated[UUID, Form()]
Entries = Annotated[list[str] | None, Form(max_length=1_000)]


def add(router: APIRouter) -> None:
    """Add an address for each action."""
    routes: dict[Action, Callable[..., Any]] = {
        Action.CHECK: check,
        Action.PLAN_REPAIR: plan_repair,
        Action.REPAIR: repair,
        Action.PLAN_REBUILD: plan_rebuild,
        Action.REBUILD: rebuild,
        Action.CANCEL: cancel,
        Action.RESUME: resume,
        Action.RETRY: retry,
        Action.RETRY_ALL: retry_all,
        Action.DISCARD: discard,
    }
    for action, route in routes.items():
        router.add_api_route(f"/do/{action.value}", route, methods=["POST"])


async def check(
    request: Request, visitor: Acting, depth: Annotated[Depth, Form()], user_id: Annotated[str, Form()] = ""
) -> Response:
    """Begin a check."""
    order = Order(RunKind.CHECK, depth, user_id=visitor.named(user_id))
    return await _begun(request, visitor, order)


async def plan_repair(
    request: Request,
    visitor: Acting,
    depth: Annotated[Depth, Form()] = Depth.QUICK,
    user_id: Annotated[str, Form()] = "",
    run: Annotated[UUID | None, Form()] = None,
) -> Response:
    """Begin a dry run: of what a check found, or of a check of its own."""
    tenant = visitor.named(user_id)
    if run is not None:
        await _run(visitor, run)
    return await _begun(request, visitor, Order(RunKind.REPAIR, depth, user_id=tenant, run_id=run))


async def repair(request: Request, visitor: Acting, run: RunId) -> Response:
    """Carry out what a plan found."""
    plan = await _plan(visitor, run, RunKind.REPAIR)
    order = Order(RunKind.REPAIR, Depth(plan.request["depth"]), user_id=plan.user_id, run_id=plan.id, dry_run=False)
    return await _begun(request, visitor, order)


async def plan_rebuild(
    request: Request,
    visitor: Acting,
    user_id: Annotated[str, Form()] = "",
    clear_existing: Annotated[bool, Form()] = False,  # noqa: FBT002  # a box of the form
) -> Response:
    """Begin a rebuild's dry run."""
    tenant = visitor.named(user_id)
    return await _begun(request, visitor, Order(RunKind.REBUILD, user_id=tenant, clear_existing=clear_existing))


async def rebuild(request: Request, visitor: Acting, run: RunId) -> Response:
    """Carry out a rebuild as it was planned."""
    plan = await _plan(visitor, run, RunKind.REBUILD)
    asked = plan.request
    order = Order(
        RunKind.REBUILD,
        user_id=plan.user_id,
        dry_run=False,
        clear_existing=bool(asked["clear_existing"]),
        re_extract=bool(asked["re_extract"]),
        force=bool(asked["force"]),
    )
    return await _begun(request, visitor, order)


async def cancel(request: Request, visitor: Acting, run: RunId) -> Response:
    """Ask a run to stop."""
    before = await _run(visitor, run)
    if before.state is not RunState.RUNNING:
        done = Done("The run goes on no more, so there was nothing to stop.", 0, 1, f"It is {before.state.value}.")
    else:
        await visitor.host.sync.cancel_run(run)
        done = Done("The run was asked to stop, and stops at its next step.", 1, 0, None)
    return page(request, visitor, "done.html", done=done, back=f"/runs/{run}", place="the run")


async def resume(request: Request, visitor: Acting, run: RunId) -> Response:
    """Take a run up where it was left."""
    await _run(visitor, run)
    return _to(request, await visitor.host.desk.resume(run))


async def retry(request: Request, visitor: Acting, entry: Entries = None) -> Response:
    """Make chosen dead entries due again."""
    keys = acts.entries_of(entry or [], visitor.principal)
    return _done(request, visitor, await acts.retry(visitor.host.memories, keys))


async def retry_all(request: Request, visitor: Acting, user_id: Annotated[str, Form()] = "") -> Response:
    """Make all dead entries due again."""
    tenant = visitor.named(user_id)
    return _done(request, visitor, await acts.retry_all(visitor.host.memories, tenant))


async def discard(request: Request, visitor: Acting, entry: Entries = None) -> Response:
    """Give up chosen dead entries."""
    keys = acts.entries_of(entry or [], visitor.principal)
    return _done(request, visitor, await acts.discard(visitor.host.memories, keys))


async def _run(visitor: Visitor, run_id: UUID) -> Run:
    return seen_by(await visitor.host.sync.get_run(run_id), visitor.tenant)


async def _plan(visitor: Visitor, run_id: UUID, kind: RunKind) -> Run:
    plan = await _run(visitor, run_id)
    if plan.kind is not kind or not RunView(plan).applicable:
        raise HTTPException(409, "That run is no plan that can be carried out. Plan it first.")
    return plan


async def _begun(request: Request, visitor: Visitor, order: Order) -> Response:
    return _to(request, await visitor.host.desk.begin(order))


def _to(request: Request, run: Run) -> Response:
    return RedirectResponse(f"{home_of(request)}/runs/{run.id}", 303)


def _done(request: Request, visitor: Visitor, done: Done) -> Response:
    return page(request, visitor, "done.html", done=done, back="/outbox", place="the outbox")
