"""The protocol's server: who may list and call which tool, and what a call answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from api.access import READ, Denied, Principal
from api.http.host import Host
from api.mcp.problems import problem, refused
from api.mcp.resources import TEMPLATES, listed, read
from api.mcp.tool import Call, Tool
from api.mcp.tools import TOOLS
from api.shapes import Json
from persistence.errors import PersistenceError, shorten
from persistence.log import get_logger
from persistence.records import validated

log = get_logger("mcp")

Context = ServerRequestContext[Any, Any]
#: Says who makes a request.
Who = Callable[[Context], Principal]

INSTRUCTIONS = (
    "A long-term memory. Search it before answering from memory; remember what is worth keeping, one fact a memory, "
    "with its entities and relationships where they are known. An outcome `pending` means that it is kept and the "
    "graph follows. An error says what to do, and whether the same call can succeed later (retryable)."
)


def make_server(host: Host, who: Who) -> Server[Any]:
    """Make the protocol's server on a host that is open as long as it serves."""
    desk = _Desk(host, who)
    return Server(
        "diptych",
        title="diptych",
        version=version("diptych"),
        instructions=INSTRUCTIONS,
        get_tool_input_schema=lambda name: TOOLS[name].input_schema if name in TOOLS else None,
        on_list_tools=desk.tools,
        on_call_tool=desk.call,
        on_list_resources=desk.resources,
        on_list_resource_templates=desk.templates,
        on_read_resource=desk.read,
    )


class _Desk:
    """Answers the requests of one server."""

    def __init__(self, host: Host, who: Who) -> None:
        self._host = host
        self._who = who

    async def tools(self, context: Context, _: Any) -> types.ListToolsResult:
        caller = self._who(context)
        return types.ListToolsResult(tools=[tool.offered(caller) for tool in TOOLS.values() if self._may(caller, tool)])

    def _may(self, caller: Principal, tool: Tool) -> bool:
        return caller.may(tool.scope) and (tool.scope is READ or not self._host.config.read_only)

    async def call(self, context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        caller, tool = self._who(context), TOOLS.get(asked.name)
        if tool is None or not self._may(caller, tool):
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {shorten(asked.name)} here.")
        started = time.perf_counter()
        call = Call(self._host, caller, context.session.report_progress)
        try:
            answer = await tool.run(call, validated(tool.given, asked.arguments or {}))
        except Exception as error:  # noqa: BLE001  # the outermost edge: whatever it is, the caller gets a sentence
            _say(tool, caller, started, error)
            return refused(error)
        _say(tool, caller, started, None)
        return _answered(answer)

    async def resources(self, context: Context, _: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=listed(self._who(context)))

    async def templates(self, context: Context, _: Any) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=TEMPLATES if self._who(context).may(READ) else [])

    async def read(self, context: Context, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            return await read(self._host, self._who(context), str(asked.uri))
        except MCPError:
            raise
        except Exception as error:
            if not isinstance(error, PersistenceError | Denied):
                log.exception("A resource could not be read, by a defect.", action="mcp.read")
            shown = problem(error)
            raise MCPError(types.INTERNAL_ERROR, shown["message"], shown) from None


def _answered(answer: Json) -> types.CallToolResult:
    text = types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))
    return types.CallToolResult(content=[text], structured_content=answer)


def _say(tool: Tool, caller: Principal, started: float, error: Exception | None) -> None:
    """Log one line for a call: what was called, by whom, how it ended; nothing of what it held."""
    ended = {
        "action": "mcp.call",
        "tool": tool.name,
        "caller": caller.name,
        "outcome": "done" if error is None else type(error).__name__,
        "duration_ms": round((time.perf_counter() - started) * 1_000, 3),
    }
    if error is None or isinstance(error, PersistenceError | Denied):
        log.info("A tool was called.", **ended)
    else:
        log.error("A tool ended by a defect.", **ended, exc_info=error)
