"""An adapter with hooks around its calls: a test sees each step of a write, and can fail, hold or kill it there."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

#: What is done at a call; its argument is the number of the call, from 1. What it raises the caller gets.
Hook = Callable[[int], Awaitable[Any] | None]


class Hooked:
    """Stands in for an adapter. ``before`` and ``after`` map methods to hooks; ``given`` keeps first arguments."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.before: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}
        self.calls: Counter[str] = Counter()
        self.given: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            number = self.calls[name]
            self.given.setdefault(name, []).append(args[0] if args else None)
            await _run(self.before.get(name), number)
            answer = await value(*args, **kwargs)
            await _run(self.after.get(name), number)
            return answer

        return call


async def _run(hook: Hook | None, number: int) -> None:
    if hook is not None:
        waiting = hook(number)
        if waiting is not None:
            await waiting


def failing(error: Exception, *, times: int = 1_000_000, first: int = 1) -> Hook:
    """Raise ``error`` at the calls from ``first`` on, so many of them."""

    def hook(number: int) -> None:
        if first <= number < first + times:
            raise error

    return hook
