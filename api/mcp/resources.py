"""What can be read without a tool: one memory by its address, and the state of the stores."""

from __future__ import annotations

import json

from mcp import types
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate

from api.access import READ, Denied, Principal
from api.http.host import Host
from api.mcp.state import state
from api.shapes import Json, memory_json
from persistence.errors import InvalidInputError, shorten

STATUS = "diptych://status"
MEMORY = "memory://{user_id}/{id}"
JSON = "application/json"

TEMPLATES = [
    types.ResourceTemplate(
        name="memory",
        title="A memory",
        uri_template=MEMORY,
        description="One memory by its tenant and its id, each percent-encoded.",
        mime_type=JSON,
    )
]
_MEMORY = UriTemplate.parse(MEMORY)


def listed(caller: Principal) -> list[types.Resource]:
    """List what has a fixed address; memories are too many to be listed, the tool `list` turns their pages."""
    if not caller.may(READ):
        return []
    about = "Whether both stores answer, how much they hold, and how many memories are in doubt."
    return [types.Resource(name="status", title="State of the stores", uri=STATUS, description=about, mime_type=JSON)]


async def read(host: Host, caller: Principal, uri: str) -> types.ReadResourceResult:
    """Read one. Raises MCPError where there is none: no such memory, or another tenant's, which is the same."""
    found = await _found(host, caller, uri) if caller.may(READ) else None
    if found is None:
        raise MCPError(types.INVALID_PARAMS, f"There is no resource {shorten(uri)} here.", {"uri": uri})
    text = json.dumps(found, ensure_ascii=False)
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=JSON, text=text)])


async def _found(host: Host, caller: Principal, uri: str) -> Json | None:
    if uri == STATUS:
        return await state(host.memories, host.sync, caller.user_id)
    named = _MEMORY.match(uri) or {}
    user_id, memory_id = named.get("user_id"), named.get("id")
    if not isinstance(user_id, str) or not isinstance(memory_id, str):
        return None
    return await _memory(host, caller, user_id, memory_id)


async def _memory(host: Host, caller: Principal, user_id: str, memory_id: str) -> Json | None:
    try:
        memory = await host.memories.get(memory_id, user_id=caller.tenant(user_id) or user_id)
    except (Denied, InvalidInputError):
        return None
    return None if memory is None else memory_json(memory)
