"""The tools, a module for each subject."""

from __future__ import annotations

from collections.abc import Mapping

from api.mcp.tool import Tool
from api.mcp.tools import finding, operating, writing

#: All there are, by name, in the order in which they are listed.
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (*finding.TOOLS, *writing.TOOLS, *operating.TOOLS)}
