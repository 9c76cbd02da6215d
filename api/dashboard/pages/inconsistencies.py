"""Inconsistencies by kind and tenant, page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dashboard.answering import page
from api.dashboard.views.reading import obtained, of_truth
from api.dashboard.visitor import Looking
from persistence.ports.runs import Kind

PAGE = 50


def add(router: APIRouter) -> None:
    """Add the list of inconsistencies."""
    router.add_api_route("/inconsistencies", show, methods=["GET"])


async def show(
    request: Request,
    visitor: Looking,
    kind: str = "",
    user_id: str = "",
    state: Annotated[str, Query(pattern="^(open|former|all)$")] = "open",
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Response:
    """Show a page of inconsistencies."""
    tenant = visitor.named(user_id)
    only = Kind(kind) if kind in set(Kind) else None
    opened = {"open": True, "former": False, "all": None}[state]
    rows = await visitor.host.sync.list_inconsistencies(
        user_id=tenant, kind=only, open=opened, after=after, limit=PAGE + 1
    )
    counts = await obtained(of_truth(visitor.host.memories.parts, lambda store: store.count_open(tenant)))
    following = rows[PAGE - 1].number if len(rows) > PAGE else None
    return page(
        request,
        visitor,
        "inconsistencies.html",
        rows=rows[:PAGE],
        following=following,
        counts=counts,
        kinds=list(Kind),
        asked={"kind": only.value if only else "", "user_id": tenant or "", "state": state, "after": after},
    )
