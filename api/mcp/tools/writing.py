"""`remember`, `remember_many`, `update`, `forget`: what changes memories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from api.access import WRITE
from api.mcp import answers, given
from api.mcp.tool import Call, Tool
from api.shapes import Json, result_json
from persistence.drafting import derived_id
from persistence.ports.vector import WriteMode
from persistence.results import Outcome, PersistenceResult

_NEW = ("content", "entities", "relationships", "metadata", "agent_id", "run_id", "created_at")
_CHANGES = ("content", "entities", "relationships", "metadata", "agent_id", "run_id")


async def remember(call: Call, asked: given.Remember) -> Json:
    """Store one memory."""
    fields = {name: getattr(asked, name) for name in _NEW}
    user_id = call.tenant(asked.user_id)
    return _stored(await call.host.memories.store(**fields, user_id=user_id, idempotency_key=asked.idempotency_key))


async def remember_many(call: Call, asked: given.RememberMany) -> Json:
    """Store some memories; one with an idempotency key gets the id that `remember` would give it."""
    user_id = call.tenant(asked.user_id)
    items = [_item(user_id, one) for one in asked.memories]
    results = await call.host.memories.store_many(items, mode=WriteMode.KEEP_ANY)
    return {"results": [_stored(replace(result, memory=None)) for result in results]}


def _item(user_id: str, new: given.New) -> dict[str, Any]:
    key = new.idempotency_key
    fields = {name: value for name in _NEW if (value := getattr(new, name)) is not None}
    return {**fields, "user_id": user_id, "id": None if key is None else derived_id(user_id, key)}


def _stored(result: PersistenceResult) -> Json:
    if result.outcome is Outcome.ROLLED_BACK:
        return result_json(result, "rolled_back")
    return result_json(result, "stored" if result.changed else "already_stored")


async def update(call: Call, asked: given.Update) -> Json:
    """Change the fields that were given, null included where it means something."""
    changes = {name: getattr(asked, name) for name in _CHANGES if name in asked.model_fields_set}
    result = await call.host.memories.update(
        asked.id, user_id=call.tenant(asked.user_id), expected_version=asked.expected_version, **changes
    )
    return result_json(result, "rolled_back" if result.outcome is Outcome.ROLLED_BACK else "updated")


async def forget(call: Call, asked: given.Forget) -> Json:
    """Delete one memory."""
    result = await call.host.memories.delete(
        asked.id, user_id=call.tenant(asked.user_id), expected_version=asked.expected_version
    )
    gone = "already_absent" if result.version is None else "already_deleted"
    return result_json(result, "deleted" if result.changed else gone)


TOOLS = (
    Tool(
        name="remember",
        title="Remember",
        description="Store one memory. Say in one or a few sentences what is worth keeping. Give an idempotency_key "
        "where the call may be repeated. It is kept once this succeeds, also where outcome is pending.",
        scope=WRITE,
        given=given.Remember,
        answer=answers.Written,
        run=remember,
        changes=True,
        repeatable=False,
    ),
    Tool(
        name="remember_many",
        title="Remember many",
        description=f"Store up to {given.MAX_MANY} memories in one call. All are checked before the first is stored.",
        scope=WRITE,
        given=given.RememberMany,
        answer=answers.ManyWritten,
        run=remember_many,
        changes=True,
        repeatable=False,
    ),
    Tool(
        name="update",
        title="Update a memory",
        description="Change fields of one memory; each that is given replaces that whole field. With "
        "expected_version it is refused where someone else changed the memory meanwhile.",
        scope=WRITE,
        given=given.Update,
        answer=answers.Written,
        run=update,
        changes=True,
        destroys=True,
        repeatable=False,
    ),
    Tool(
        name="forget",
        title="Forget",
        description="Delete one memory from both stores, for good. What is not there is already forgotten.",
        scope=WRITE,
        given=given.Forget,
        answer=answers.Written,
        run=forget,
        changes=True,
        destroys=True,
    ),
)
