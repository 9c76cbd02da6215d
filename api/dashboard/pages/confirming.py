"""What an action would do, and the form that does it. Nothing is changed here."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request, Response

from api.dashboard.answering import page
from api.dashboard.views.actions import Action, entries_of
from api.dashboard.views.runs import RunView, seen_by
from api.dashboard.visitor import Looking
from persistence.ports.runs import Depth


def add(router: APIRouter) -> None:
    """Add the page that comes before every action."""
    router.add_api_route("/confirm/{action}", confirm, methods=["GET"])


async def confirm(
    request: Request,
    visitor: Looking,
    action: Action,
    run: Annotated[UUID | None, Query()] = None,
    entry: Annotated[list[str] | None, Query(max_length=1_000)] = None,
    depth: Depth = Depth.QUICK,
    user_id: str = "",
) -> Response:
    """Ask whether an action is meant."""
    if not visitor.may_act:
        raise HTTPException(
            403, "Nothing can be changed here: the server is read-only, or your key has no admin scope."
        )
    tenant = visitor.named(user_id)
    view = None
    if action.of_run:
        if run is None:
            raise HTTPException(422, "This action is about a run, and none is named.")
        view = RunView(seen_by(await visitor.host.sync.get_run(run), visitor.tenant))
    keys = entries_of(entry or [], visitor.principal)
    if action.of_entries and not keys:
        raise HTTPException(422, "No entry was chosen. Go back and choose some.")
    return page(
        request,
        visitor,
        "confirm.html",
        action=action,
        view=view,
        keys=keys,
        user_id=tenant or "",
        depths=list(Depth),
        chosen_depth=depth,
    )
