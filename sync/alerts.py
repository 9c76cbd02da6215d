"""Alerts: who wants to know is told when drift appears, while it stays, and when it is gone.

An alert is told to hooks: callables that take an ``Alert``, and the webhook of the setting ``sync_webhook_url``, which
is POSTed what ``alert_json`` returns:

    {"event": "drift_appeared", "text": "…", "depth": "quick", "user_id": null, "complete": true, "found": 3,
     "counts": {"missing_in_graph": 3}, "run_id": "…", "first_seen": "2026-01-31T03:00:00.000000Z", "at": "…"}

``user_id`` null: all tenants. ``found`` and ``counts``: inconsistencies that are open, those of deeper or earlier
checks included. ``first_seen``: when the oldest of them was first seen. It holds no content and no id of a memory.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread

from persistence.bounded import being_cancelled
from persistence.errors import ConfigurationError, PersistenceError
from persistence.extras import is_foreign
from persistence.log import get_logger
from persistence.ports.runs import Depth, Kind
from persistence.settings import PersistenceConfig
from sync.reports import time_text

log = get_logger("alerts")

#: Seconds that a hook may take, retries included.
HOOK_TIME = 120.0


class Event(StrEnum):
    """What an alert is about."""

    DRIFT_APPEARED = "drift_appeared"
    """A check found that the graph is not in step, and nobody was told before."""
    DRIFT_STAYS = "drift_stays"
    """It is still so; told once in ``sync_remind_every``."""
    DRIFT_GONE = "drift_gone"
    """A complete check found nothing any more, and nothing is open."""
    CHECKS_INCOMPLETE = "checks_incomplete"
    """So many checks in a row (``sync_incomplete_after``) were not complete; told again as above."""
    CHECKS_COMPLETE = "checks_complete"
    """A check was complete again."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What a hook is told. ``run_id``, ``depth``, ``complete`` and ``at`` are those of the newest finished check."""

    event: Event
    text: str
    depth: Depth
    user_id: str | None
    complete: bool
    counts: Mapping[Kind, int]
    run_id: UUID
    first_seen: datetime | None
    at: datetime

    @property
    def found(self) -> int:
        """How many inconsistencies are open."""
        return sum(self.counts.values())


#: Told of each alert. One that is no coroutine function runs in a thread.
Hook = Callable[[Alert], Awaitable[None] | None]


def alert_json(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON."""
    return {
        "event": alert.event.value,
        "text": alert.text,
        "depth": alert.depth.value,
        "user_id": alert.user_id,
        "complete": alert.complete,
        "found": alert.found,
        "counts": {kind.value: number for kind, number in sorted(alert.counts.items())},
        "run_id": str(alert.run_id),
        "first_seen": time_text(alert.first_seen),
        "at": time_text(alert.at),
    }


async def tell(hooks: Sequence[Hook], alert: Alert) -> bool:
    """Tell all hooks at once; True where one of them took it. What a hook raises is logged, and no more."""
    log.info(alert.text, action="alert", alert=alert.event.value, run_id=str(alert.run_id))
    taken: list[bool] = []

    async def one(hook: Hook) -> None:
        taken.append(await _told(hook, alert))

    async with anyio.create_task_group() as group:
        for hook in hooks:
            group.start_soon(one, hook)
    return any(taken)


async def _told(hook: Hook, alert: Alert) -> bool:
    try:
        with anyio.fail_after(HOOK_TIME):
            await _call(hook, alert)
    except PersistenceError as error:
        log.warning("An alert could not be told.", action="alert", alert=alert.event.value, reason=error.message)
        return False
    except asyncio.CancelledError:
        if being_cancelled():
            raise
        # Let through, it would end the other hooks with it: a group takes it for its own end.
        log.warning("A hook for alerts was cancelled.", action="alert", alert=alert.event.value)
        return False
    except Exception:
        log.exception("A hook for alerts failed.", action="alert", alert=alert.event.value)
        return False
    return True


async def _call(hook: Hook, alert: Alert) -> None:
    """Call a hook in a thread, where it may block; of a coroutine function this only makes the coroutine."""
    answer: Any = await anyio.to_thread.run_sync(hook, alert, abandon_on_cancel=True)
    if inspect.isawaitable(answer):
        await answer


def configured_hooks(config: PersistenceConfig) -> list[Hook]:
    """Return the hooks that the settings name. Raises ConfigurationError."""
    if config.sync_webhook_url is None or not config.sync_webhook_url.get_secret_value():
        return []
    try:
        module = import_module("sync.webhook")
    except ModuleNotFoundError as error:
        if not is_foreign(error):
            raise
        raise ConfigurationError(
            f"The library {error.name}, which the webhook needs, is not installed.",
            hint='pip install "diptych[openai]"',
        ) from error
    webhook: Hook = module.Webhook(config.sync_webhook_url)
    return [webhook]
