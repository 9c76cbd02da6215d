"""The Model Context Protocol: memories and the state of their stores as tools, over stdio and over HTTP."""

from persistence.extras import needing

with needing("mcp"):
    from api.mcp.app import McpApp, make_mcp
    from api.mcp.server import make_server

__all__ = ["McpApp", "make_mcp", "make_server"]
