"""`/persistence/outbox`: the memories whose graph copy is in doubt; those given up, tried again or let go."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import TypeAdapter

from api.http import late
from api.http.host import Host
from api.http.models.memories import OneQuery
from api.http.models.sync import DiscardedTold, EntriesTold, OutboxQuery, RetriedTold
from api.http.routes import cursors
from api.http.routes.asking import Hosted, MemoryId, Operator, Reader, answers, tenant_of
from api.shapes import entry_json
from persistence.errors import MemoryNotFoundError
from persistence.ports.outbox import Key
from persistence.retry import Deadline
from persistence.text import Name

_STATES = {"pending": False, "dead": True, "all": None}
_PLACE = TypeAdapter(tuple[Name, Name])


async def entries(caller: Reader, host: Hosted, asked: Annotated[OutboxQuery, Query()]) -> dict[str, Any]:
    """List entries in the order of (user_id, id)."""
    truth, user_id = host.memories.parts.truth, caller.tenant(asked.user_id)
    place = cursors.read(_PLACE, asked.after)
    after = None if place is None else Key(*place)
    rows = await truth.read(
        lambda: truth.store.outbox_page(dead=_STATES[asked.state], after=after, limit=asked.limit + 1, user_id=user_id),
        Deadline(host.memories.parts.config.write_timeout),
    )
    page = rows[: asked.limit]
    more = cursors.written(page[-1].user_id, page[-1].id) if len(rows) > asked.limit else None
    return {"entries": list(map(entry_json, page)), "next": more}


async def retry(caller: Operator, host: Hosted, id: MemoryId, asked: Annotated[OneQuery, Query()]) -> dict[str, Any]:  # noqa: A002  # the field's name
    """Let the relay try a dead entry again, from the first attempt on. The tenant is named by `user_id`.

    404 where nothing is known of such a memory: neither an entry, nor the memory, nor that it was deleted.
    """
    key = Key(tenant_of(caller, asked.user_id), id)
    retried = await host.memories.retry_dead([key])
    if not retried:
        await _refuse_unknown(host, key)
    return {"status": "retried" if retried else "already_retried", "retried": retried}


async def discard(caller: Operator, host: Hosted, id: MemoryId, asked: Annotated[OneQuery, Query()]) -> dict[str, Any]:  # noqa: A002  # the field's name
    """Give a dead entry up: it moves to the open inconsistencies, and the graph stays as it is. 404 as for a retry."""
    key = Key(tenant_of(caller, asked.user_id), id)
    done = await host.memories.discard_dead(key)
    if not done:
        await _refuse_unknown(host, key)
    return {"status": "discarded" if done else "already_gone", "id": id, "user_id": key.user_id}


async def _refuse_unknown(host: Host, key: Key) -> None:
    """Raise MemoryNotFoundError where there is no entry, and truth has neither the memory nor what is left of it."""
    truth = host.memories.parts.truth
    deadline = Deadline(host.memories.parts.config.write_timeout)
    if await truth.read(lambda: truth.store.read([key]), deadline):
        return
    if not await truth.read(lambda: truth.store.pending([key]), deadline):
        raise MemoryNotFoundError


def make_router() -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/persistence/outbox", tags=["outbox"])
    router.add_api_route("", entries, **answers(EntriesTold))
    named = late.late(late.tenant_in_query)
    retried, discarded = answers(RetriedTold, 404), answers(DiscardedTold, 404)
    router.add_api_route("/{id:path}/retry", retry, methods=["POST"], dependencies=named, **retried)
    router.add_api_route("/{id:path}/discard", discard, methods=["POST"], dependencies=named, **discarded)
    return router
