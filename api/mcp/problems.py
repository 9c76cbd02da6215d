"""Errors as a caller of a tool meets them: what happened, what to do, whether the same call can succeed later."""

from __future__ import annotations

from typing import Any

from mcp import types

from api.access import Denied
from api.shapes import Json
from persistence.errors import BulkInterruptedError, PersistenceError

#: Where a program finds the error; a model reads the text.
META = "diptych/problem"
UNEXPECTED = "Something unexpected happened; what was asked for may or may not have been done."


def problem(error: Exception) -> Json:
    """Describe an error. What is none of ours says nothing of itself: it may quote anything."""
    if isinstance(error, PersistenceError):
        return _ours(error)
    if isinstance(error, Denied):
        return _problem("Denied", str(error), "call it for the tenant that you act for")
    return _problem("InternalError", UNEXPECTED, "look at the server's log")


def _ours(error: PersistenceError) -> Json:
    shown = _problem(type(error).__name__, error.message, error.hint, retryable=error.retryable)
    if isinstance(error, BulkInterruptedError):
        shown["acknowledged"] = sorted(error.results)
    return shown


def _problem(kind: str, message: str, hint: str | None, *, retryable: bool = False) -> Json:
    return {"type": kind, "message": message, "hint": hint, "retryable": retryable}


def refused(error: Exception) -> types.CallToolResult:
    """Return an error as the result of a tool: no structured content, which clients hold against the output schema."""
    shown = problem(error)
    text = types.TextContent(type="text", text=_text(shown))
    return types.CallToolResult(content=[text], is_error=True, _meta={META: shown})


def _text(shown: dict[str, Any]) -> str:
    hint = f"\nTry: {shown['hint']}" if shown["hint"] else ""
    done = f"\nacknowledged (positions): {shown['acknowledged']}" if "acknowledged" in shown else ""
    return f"{shown['message']}{hint}{done}\nretryable: {str(shown['retryable']).lower()}"
