"""Faults that no model sees by itself, since they depend on who asks and of which service: told with all the others.

A route names what it checks as a dependency, which runs before its body is looked at: ``dependencies=late(in_body)``.
Where the body is at fault, the answer adds what the check says of the body as it was sent; where it is not, the route
itself refuses by ``refuse``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from api.access import Principal
from api.http.caller import PRINCIPAL
from api.http.host import host_of
from persistence.errors import InvalidInputError

#: One fault, as pydantic tells it: ``loc``, ``msg`` and ``type``.
Fault = dict[str, Any]
#: Says what is at fault in a body: as it was sent, or the model that was made of it.
Check = Callable[[Request, Any], Iterator[Fault]]
_KEPT = "diptych.late"
_NO_TENANT = InvalidInputError("user_id", None, "name the tenant that is meant")


def late(*checks: Check) -> list[Any]:
    """Return the dependencies of a route that is to be checked so."""

    async def keep(request: Request) -> None:
        request.scope[_KEPT] = checks

    return [Depends(keep)]


def faults(request: Request, body: Any, known: Sequence[Fault] = ()) -> list[Fault]:
    """Return the known faults and, of the fields that they do not name, those that the route's checks find."""
    named = {tuple(fault["loc"])[:depth] for fault in known for depth in range(len(fault["loc"]) + 1)}
    found = (fault for check in request.scope.get(_KEPT, ()) for fault in check(request, body))
    return [*known, *(fault for fault in found if fault["loc"] not in named)]


def refuse(request: Request, body: Any) -> None:
    """Raise RequestValidationError with every fault that the route's checks find."""
    if found := faults(request, body):
        raise RequestValidationError(found)


def tenant_in_query(request: Request, _: Any) -> Iterator[Fault]:
    """Say that whoever may act for all tenants has named none in the query."""
    if _acts_for_all(request) and "user_id" not in request.query_params:
        yield _fault(_NO_TENANT, "query")


def tenant_in_body(request: Request, body: Any) -> Iterator[Fault]:
    """Say the same of the body."""
    if _acts_for_all(request) and _is_object(body) and _get(body, "user_id") is None:
        yield _fault(_NO_TENANT, "body")


def memory_in_body(request: Request, body: Any) -> Iterator[Fault]:
    """Say what this service cannot take of a memory, or of what is to change of one."""
    yield from _of_memory(request, body, "body")


def memories_in_body(request: Request, body: Any) -> Iterator[Fault]:
    """Say the same of each of many, and which of them name no tenant where the whole names none."""
    memories = _get(body, "memories") if _is_object(body) else None
    nobody = _acts_for_all(request) and _is_object(body) and _get(body, "user_id") is None
    for position, memory in enumerate(memories if isinstance(memories, Sequence) else ()):
        place = ("body", "memories", position)
        if nobody and _is_object(memory) and _get(memory, "user_id") is None:
            yield _fault(_NO_TENANT, *place)
        yield from _of_memory(request, memory, *place)


def _of_memory(request: Request, memory: Any, *place: str | int) -> Iterator[Fault]:
    if _is_object(memory):
        drafter = host_of(request).memories.parts.drafter
        content, embedding = _get(memory, "content"), _get(memory, "embedding")
        text, vector = content if isinstance(content, str) else "", embedding if hasattr(embedding, "__len__") else None
        yield from (_fault(error, *place) for error in drafter.faults(text, vector))


def _acts_for_all(request: Request) -> bool:
    principal = request.scope.get(PRINCIPAL)
    return isinstance(principal, Principal) and principal.user_id is None


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "model_fields_set")


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _fault(error: InvalidInputError, *place: str | int) -> Fault:
    return {"type": "late", "loc": (*place, error.field), "msg": error.allowed}
