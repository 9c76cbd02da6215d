"""A tool: its name, who may call it, what it takes, what it answers, and what it does."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcp import types
from pydantic import BaseModel

from api.access import Principal, Scope
from api.http.host import Host
from api.mcp.given import Given
from api.shapes import Json
from persistence.errors import InvalidInputError
from sync.model import OnProgress

#: Sends how far a call is: done, of how many, in words.
Send = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: what it stands on, who makes it, and the way back while it goes on."""

    host: Host
    caller: Principal
    send: Send

    def tenant(self, asked: str | None) -> str:
        """Return the tenant that is meant. Raises Denied; InvalidInputError where none is said."""
        meant = self.caller.tenant(asked)
        if meant is None:
            raise InvalidInputError("user_id", None, "it must say whose memories are meant")
        return meant


@dataclass(frozen=True)
class Tool:
    """A tool as it is offered.

    ``changes``: it writes; ``destroys``: what was there may be gone; ``repeatable``: twice is as good as once.
    ``any_tenant``: it works for all tenants where none is named.
    """

    name: str
    title: str
    description: str
    scope: Scope
    given: type[Given]
    answer: type[BaseModel]
    run: Callable[[Call, Any], Awaitable[Json]]
    changes: bool = False
    destroys: bool = False
    repeatable: bool = True
    any_tenant: bool = False

    def offered(self, caller: Principal) -> types.Tool:
        """Describe the tool to whoever may call it; who acts for one tenant is not asked for which."""
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.input_schema if caller.user_id is None else self._without_tenant,
            output_schema=self.output_schema,
            annotations=self._annotations,
        )

    @cached_property
    def input_schema(self) -> Json:
        """What it takes; a tenant must be named where the tool works for one."""
        schema = self.given.model_json_schema()
        if not self.any_tenant:
            schema["properties"]["user_id"] = {"type": "string", **_without_null(schema["properties"]["user_id"])}
            schema["required"] = ["user_id", *schema.get("required", [])]
        return schema

    @cached_property
    def _without_tenant(self) -> Json:
        schema = copy.deepcopy(self.input_schema)
        del schema["properties"]["user_id"]
        schema["required"] = [name for name in schema.get("required", []) if name != "user_id"]
        return schema

    @cached_property
    def output_schema(self) -> Json:
        """What it answers."""
        return self.answer.model_json_schema(mode="serialization")

    @property
    def _annotations(self) -> types.ToolAnnotations:
        return types.ToolAnnotations(
            title=self.title,
            read_only_hint=not self.changes,
            destructive_hint=self.destroys,
            idempotent_hint=self.repeatable,
            open_world_hint=False,
        )


def _without_null(field: Mapping[str, Any]) -> Json:
    """Return the schema of a field as one that has to be given."""
    (kept,) = (one for one in field["anyOf"] if one.get("type") != "null")
    return {**{name: value for name, value in field.items() if name not in {"anyOf", "default"}}, **kept}


__all__ = ["Call", "OnProgress", "Send", "Tool"]
