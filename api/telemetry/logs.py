"""Logs: one line for each unit of work, with ids, outcome and durations; never content, never a secret.

Units of work are a request, a write, a batch of the relay, a run. On a terminal a line is for people, else it is JSON.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, TextIO

import structlog

from persistence.log import get_logger
from persistence.ports.observer import AdapterCall, Call, Ending, Event, RelayBatch, SyncRun, Work, nothing

Mask = Callable[[str], str]
Times = dict[str, float]

_SENTENCES = {
    "store": "A memory was stored.",
    "store_many": "Memories were stored.",
    "update": "A memory was changed.",
    "delete": "A memory was deleted.",
    "delete_all": "The memories of a tenant were deleted.",
}
#: Seconds that the parts of the work under way have taken, summed up over their calls.
_TIMES: ContextVar[Times | None] = ContextVar("diptych_times", default=None)


# --- how lines are written ------------------------------------------------------------------------------------------


def log_to(stream: TextIO, mask: Mask, *, level: int = logging.INFO, colors: bool | None = None) -> logging.Handler:
    """Send our own records to a stream, masked; other libraries' stay away, since they may quote connection strings.

    ``colors`` None: for people where the stream is a terminal, else JSON. Returns the handler, for whoever takes it
    away again.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler(stream)
    people = stream.isatty() if colors is None else True
    handler.setFormatter(MaskedFormatter(mask, for_people(colors=colors is not False) if people else AS_JSON))
    ours = logging.getLogger("diptych")
    ours.addHandler(handler)
    ours.setLevel(level)
    return handler


def for_people(*, colors: bool) -> tuple[structlog.typing.Processor, ...]:
    """Return what renders a line for a terminal."""
    return (structlog.dev.ConsoleRenderer(colors=colors),)


AS_JSON: tuple[structlog.typing.Processor, ...] = (
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("message"),
    structlog.processors.JSONRenderer(),
)


class MaskedFormatter(structlog.stdlib.ProcessorFormatter):
    """Writes a record of the standard library's with what structlog has put into it, and without secrets."""

    def __init__(self, mask: Mask, render: Sequence[structlog.typing.Processor]) -> None:
        super().__init__(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.contextvars.merge_contextvars,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))


# --- what is written ------------------------------------------------------------------------------------------------


class Lines:
    """An observer that writes the canonical lines of writes, relay batches and runs."""

    def __init__(self) -> None:
        self._log = get_logger("work")

    def began(self, work: Work) -> Ending:
        if isinstance(work, AdapterCall):
            return partial(_add, work)
        if isinstance(work, Call) and work.operation not in _SENTENCES:
            return nothing
        times: Times = defaultdict(float)
        return partial(self._ended, work, times, _TIMES.set(times))

    def noted(self, event: Event) -> None:
        """Write nothing: retries and the breaker are within some work, and have lines of their own there."""

    def _ended(self, work: Work, times: Times, token: Token[Times | None]) -> None:
        _TIMES.reset(token)
        shown: dict[str, Any] = {"duration_ms": _ms(work.seconds)}
        shown |= {f"{part}_ms": _ms(seconds) for part, seconds in times.items()}
        if work.error is not None:
            shown = {"error": work.error, **shown}
        match work:
            case Call():
                self._say_call(work, shown)
            case RelayBatch():
                self._say_batch(work, shown)
            case SyncRun():
                self._say_run(work, shown)

    def _say_call(self, work: Call, shown: dict[str, Any]) -> None:
        sentence = _SENTENCES[work.operation] if work.error is None else "A write did not succeed."
        ids = {"user_id": work.user_id, "memory_id": work.memory_id}
        one = len(work.outcomes) == 1 and sum(work.outcomes.values()) == 1
        outcome = {"outcome": next(iter(work.outcomes))} if one else {"outcomes": dict(work.outcomes)}
        say = self._log.info if work.error is None else self._log.warning
        say(sentence, action=work.operation, **{k: v for k, v in ids.items() if v is not None}, **outcome, **shown)

    def _say_batch(self, work: RelayBatch, shown: dict[str, Any]) -> None:
        say = self._log.warning if work.failed or work.error else self._log.info
        counts = {"entries": work.entries, "applied": work.applied, "failed": work.failed, "dead": work.dead}
        say("The relay has worked a batch off.", action="relay_batch", **counts, **shown)

    def _say_run(self, work: SyncRun, shown: dict[str, Any]) -> None:
        say = self._log.info if work.state == "done" and not work.found else self._log.warning
        about = {"run_id": work.run_id, "depth": work.depth, "user_id": work.user_id, "complete": work.complete}
        about = {name: value for name, value in about.items() if value is not None}
        say("A run has ended.", action=work.kind, outcome=work.state, found=dict(work.found), **about, **shown)


def _add(work: AdapterCall) -> None:
    times = _TIMES.get()
    if times is not None:
        times[work.target.part.value] += work.seconds


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 3)
