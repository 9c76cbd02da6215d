"""`search`, `get`, `list`, `relate`: what is remembered."""

from __future__ import annotations

from api.access import READ
from api.mcp import answers, given
from api.mcp.tool import Call, Tool
from api.shapes import Json, graph_json, memory_json, page_json, search_json
from persistence.errors import MemoryNotFoundError


async def search(call: Call, asked: given.Search) -> Json:
    """Find by meaning."""
    found = await call.host.memories.search(
        asked.query,
        user_id=call.tenant(asked.user_id),
        limit=asked.limit,
        agent_id=asked.agent_id,
        run_id=asked.run_id,
        filters=asked.filters,
        expand=asked.expand,
    )
    return search_json(found)


async def get(call: Call, asked: given.One) -> Json:
    """Look at one memory."""
    memory = await call.host.memories.get(asked.id, user_id=call.tenant(asked.user_id))
    if memory is None:
        raise MemoryNotFoundError
    return memory_json(memory)


async def list_(call: Call, asked: given.Listing) -> Json:
    """Turn the pages of a tenant's memories."""
    page = await call.host.memories.get_all(
        user_id=call.tenant(asked.user_id),
        agent_id=asked.agent_id,
        run_id=asked.run_id,
        filters=asked.filters,
        after=asked.after,
        limit=asked.limit,
    )
    return page_json(page)


async def relate(call: Call, asked: given.Relate) -> Json:
    """Walk from one memory through the graph."""
    memories, user_id = call.host.memories, call.tenant(asked.user_id)
    found = await memories.related(asked.id, user_id=user_id, depth=asked.depth, limit=asked.limit)
    around = await memories.neighbourhood(asked.id, user_id=user_id)
    return {**search_json(found), "neighbourhood": graph_json(around)}


TOOLS = (
    Tool(
        name="search",
        title="Search memories",
        description="Find memories by meaning, the nearest first. Use it before answering from memory, and before "
        "remembering what may be remembered already. `expand` adds what the graph reaches from them.",
        scope=READ,
        given=given.Search,
        answer=answers.Found,
        run=search,
    ),
    Tool(
        name="get",
        title="Get a memory",
        description="Return one memory by its id, with its entities, relationships and version.",
        scope=READ,
        given=given.One,
        answer=answers.Memory,
        run=get,
    ),
    Tool(
        name="list",
        title="List memories",
        description="List memories in the order of their ids, a page at a time. To find something, use search.",
        scope=READ,
        given=given.Listing,
        answer=answers.Page,
        run=list_,
    ),
    Tool(
        name="relate",
        title="Related memories",
        description="Start from one memory: which others share its entities or are reached over relationships, by "
        "what, and what the graph holds of it.",
        scope=READ,
        given=given.Relate,
        answer=answers.Related,
        run=relate,
    ),
)
