"""What can be done from the pages, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fastapi import HTTPException

from api.access import Principal
from api.dashboard.names import memory_named
from persistence import AsyncPersistenceService, Key


class Action(StrEnum):
    """An action; each is confirmed on a page of its own before it is done."""

    CHECK = "check"
    PLAN_REPAIR = "plan-repair"
    REPAIR = "repair"
    PLAN_REBUILD = "plan-rebuild"
    REBUILD = "rebuild"
    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"
    RETRY_ALL = "retry-all"
    DISCARD = "discard"

    @property
    def of_run(self) -> bool:
        """Whether it is about one run."""
        return self in {Action.REPAIR, Action.REBUILD, Action.CANCEL, Action.RESUME}

    @property
    def of_entries(self) -> bool:
        """Whether it is about chosen entries of the outbox."""
        return self in {Action.RETRY, Action.DISCARD}


@dataclass(frozen=True, slots=True)
class Done:
    """How many were done, how many were skipped, and why."""

    sentence: str
    done: int
    skipped: int
    why: str | None


#: Dead entries that are retried at once, of one tenant.
AT_ONCE = 1_000
_GONE = "They are not dead any more, or not there: somebody retried, discarded or wrote them meanwhile."


def entries_of(values: Iterable[str], principal: Principal) -> tuple[Key, ...]:
    """Return the memories whose entries were chosen. Raises HTTPException, Denied."""
    keys = tuple(dict.fromkeys(_key(value) for value in values))
    for key in keys:
        principal.tenant(key.user_id)
    return keys


def _key(value: str) -> Key:
    try:
        user_id, memory_id = json.loads(value)
    except (ValueError, TypeError) as error:
        raise HTTPException(422, "An entry is named by its tenant and its id.") from error
    return memory_named(user_id, memory_id)


async def retry(memories: AsyncPersistenceService, keys: tuple[Key, ...]) -> Done:
    """Make chosen entries due again."""
    revived = await memories.retry_dead(keys)
    return _done(revived, len(keys), "due again")


async def retry_all(memories: AsyncPersistenceService, tenant: str | None) -> Done:
    """Make every dead entry due again; of one tenant, page by page."""
    if tenant is None:
        return Done("Dead entries are due again.", await memories.retry_dead(None), 0, None)
    entries = await memories.dead_letters(user_id=tenant, limit=AT_ONCE)
    revived = await memories.retry_dead([entry.key for entry in entries]) if entries else 0
    done = _done(revived, len(entries), "due again")
    more = len(entries) == AT_ONCE
    return Done(done.sentence, done.done, done.skipped, "There may be more: retry again." if more else done.why)


async def discard(memories: AsyncPersistenceService, keys: tuple[Key, ...]) -> Done:
    """Move chosen entries to the open inconsistencies."""
    moved = 0
    for key in keys:
        moved += await memories.discard_dead(key)
    return _done(moved, len(keys), "moved to the open inconsistencies")


def _done(done: int, asked: int, what: str) -> Done:
    skipped = asked - done
    verb = "entry is" if done == 1 else "entries are"
    return Done(f"{done:,} {verb} {what}.", done, skipped, _GONE if skipped else None)
