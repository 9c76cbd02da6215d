"""`/graph`: a tenant's graph to look at."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, TypeAdapter

from api.access import Principal
from api.http import late
from api.http.host import Host
from api.http.models.graph import (
    EdgesTold,
    NeighbourhoodQuery,
    NodesQuery,
    NodesTold,
    SubgraphQuery,
    SubgraphTold,
)
from api.http.routes import cursors
from api.http.routes.asking import Hosted, Reader, answers, tenant_of
from api.operating.graph_view import GraphView, Place, Subgraph, subgraph_json
from api.shapes import edge_json, node_json
from persistence.errors import MemoryNotFoundError
from persistence.records import normalise
from persistence.text import Bounded, Name

_NODE = TypeAdapter(tuple[Bounded, Bounded])
_EDGE = TypeAdapter(tuple[Name, Annotated[int, Field(ge=0)]])


async def nodes(caller: Reader, host: Hosted, asked: Annotated[NodesQuery, Query()]) -> dict[str, Any]:
    """List a tenant's entities in the order of (type, key)."""
    after = cursors.read(_NODE, asked.after)
    rows = await _view(caller, host, asked.user_id).nodes(after, asked.limit + 1)
    page = rows[: asked.limit]
    more = cursors.written(page[-1].type, page[-1].key) if len(rows) > asked.limit else None
    return {"nodes": list(map(node_json, page)), "next": more}


async def edges(caller: Reader, host: Hosted, asked: Annotated[NodesQuery, Query()]) -> dict[str, Any]:
    """List a tenant's relationships, memory by memory. A page may be short, or empty, though there is a `next`."""
    place = cursors.read(_EDGE, asked.after)
    page = await _view(caller, host, asked.user_id).edges(None if place is None else Place(*place), asked.limit)
    more = page.next
    return {
        "edges": list(map(edge_json, page.edges)),
        "next": cursors.written(more.memory_id, more.edges) if more else None,
    }


async def neighbourhood(caller: Reader, host: Hosted, asked: Annotated[NeighbourhoodQuery, Query()]) -> dict[str, Any]:
    """Show what lies around one node: a memory (`memory_id`), or an entity (`type` and `name`)."""
    view, part = _view(caller, host, asked.user_id), Subgraph(asked.nodes, asked.edges)
    if asked.memory_id is not None:
        found = await view.around_memory(asked.memory_id, part)
    else:
        found = await view.around_entity((asked.type or "", normalise(asked.name or "")), part)
    if not found:
        raise MemoryNotFoundError("There is no such node in the graph of this tenant.")
    return subgraph_json(part)


async def subgraph(caller: Reader, host: Hosted, asked: Annotated[SubgraphQuery, Query()]) -> dict[str, Any]:
    """Show a tenant's graph, as much of it as is asked for, memory by memory."""
    part = Subgraph(asked.nodes, asked.edges)
    await _view(caller, host, asked.user_id).whole(part)
    return subgraph_json(part)


def _view(caller: Principal, host: Host, user_id: str | None) -> GraphView:
    return GraphView(host.memories, tenant_of(caller, user_id))


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/graph", tags=["graph"], dependencies=late.late(late.tenant_in_query))
    router.add_api_route("", subgraph, **answers(SubgraphTold))
    router.add_api_route("/nodes", nodes, **answers(NodesTold))
    router.add_api_route("/edges", edges, **answers(EdgesTold))
    router.add_api_route("/neighbourhood", neighbourhood, **answers(SubgraphTold, 404))
    return router
