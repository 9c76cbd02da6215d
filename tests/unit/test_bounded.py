from __future__ import annotations

import asyncio
import contextlib

import pytest

from persistence import bounded
from persistence.bounded import Calls


async def test_a_call_that_overlooks_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on after it was cancelled, its server having overlooked that, is ended soon after."""
    monkeypatch.setattr(bounded, "CANCEL_AGAIN", 0.01)
    calls, ended = Calls(), asyncio.Event()

    async def stubborn() -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await calls.run(stubborn(), 0.01)
    await asyncio.wait_for(ended.wait(), 5)
    await calls.close(1)


async def test_a_call_in_time_is_answered() -> None:
    """What comes in time is handed on, an error as well."""
    calls = Calls()

    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise LookupError

    assert await calls.run(answer(), 1) == 7
    with pytest.raises(LookupError):
        await calls.run(fail(), 1)
