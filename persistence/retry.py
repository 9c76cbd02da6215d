"""Retries: tenacity behind a small interface (nothing else imports it), and the deadline that bounds them.

What to retry on is always said by the caller, attempts *and* total time are bounded, waits are jittered, and a
cancelled call stops at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import tenacity

from persistence.errors import PersistenceError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Says of an error: False, do not repeat; True, repeat after a back-off; a number, after at least so many seconds.
RetryOn = Callable[[BaseException], bool | float]


def is_retryable(error: BaseException) -> bool:
    """Say whether the error's class promises that the same call can succeed later."""
    return isinstance(error, PersistenceError) and error.retryable


class Deadline:
    """A point in time by which a call has answered. One is made per call and handed on to everything it calls."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self, reserve: float = 0.0) -> float:
        """Return the seconds left, less ``reserve`` for what comes after; never below 0."""
        return max(0.0, self._at - self._clock() - reserve)


class Retry:
    """A policy: how often, how long, with which waits.

    ``timeout``: no attempt begins later than this many seconds after the first. ``sleep`` is given by tests.
    ``before_sleep`` is told the error, each time before an attempt is repeated.
    """

    def __init__(
        self,
        attempts: int,
        delay: float,
        max_delay: float = 2.0,
        timeout: float | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        before_sleep: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._attempts = attempts
        self._delay = delay
        self._max_delay = max_delay
        self._timeout = timeout
        self._sleep = sleep
        self._before_sleep = before_sleep

    def within(self, deadline: Deadline) -> Retry:
        """Return the same policy, bounded by what is left of a call's deadline."""
        return Retry(
            self._attempts,
            self._delay,
            self._max_delay,
            deadline.remaining(),
            sleep=self._sleep,
            before_sleep=self._before_sleep,
        )

    async def call(self, func: Callable[[*Ts], Awaitable[T]], *args: *Ts, retry_on: RetryOn = is_retryable) -> T:
        """Await ``func(*args)`` until it succeeds or the policy ends; raise the last error."""
        started = time.monotonic()
        try:
            return await func(*args)
        except BaseException as error:
            if retry_on(error) is False:
                raise
            first = error
        return await self._again(func, args, retry_on, first, time.monotonic() - started)

    async def _again(
        self,
        func: Callable[[*Ts], Awaitable[T]],
        args: tuple[*Ts],
        retry_on: RetryOn,
        first: BaseException,
        elapsed: float,
    ) -> T:
        """Go on after the first attempt, which failed after ``elapsed`` seconds; tenacity sees it as its own first.

        Called only then, because tenacity costs more than a tenth of a millisecond even where nothing fails.
        """
        failed = [first]

        async def attempt() -> T:
            if failed:
                raise failed.pop()
            return await func(*args)

        stop: tenacity.stop.stop_base = tenacity.stop_after_attempt(self._attempts)
        if self._timeout is not None:
            stop |= tenacity.stop_before_delay(self._timeout - elapsed)
        attempts = tenacity.AsyncRetrying(
            stop=stop,
            wait=lambda state: self._wait(state.attempt_number, _asked(state, retry_on)),
            retry=tenacity.retry_if_exception(lambda error: retry_on(error) is not False),
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        return await attempts(attempt)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if self._before_sleep is not None and error is not None:
            self._before_sleep(error)

    def _wait(self, attempt: int, asked: float) -> float:
        grown = min(self._delay * 2.0 ** (attempt - 1), self._max_delay)
        return max(asked, grown * random.uniform(0.5, 1.5))  # noqa: S311  # jitter, not a secret


def _asked(state: tenacity.RetryCallState, retry_on: RetryOn) -> float:
    error = state.outcome.exception() if state.outcome else None
    answer = retry_on(error) if error else False
    return 0.0 if isinstance(answer, bool) else answer


def backoff(attempt: int, base: float, longest: float) -> float:
    """Return the seconds before attempt ``attempt + 1``: doubled each time, capped, jittered by half."""
    return min(base * 2.0 ** min(attempt - 1, 30), longest) * random.uniform(0.5, 1.5)  # noqa: S311  # jitter
