"""How work is told to an observer, and what stands before an adapter to tell of the calls on it."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from persistence.log import get_logger
from persistence.ports.observer import (
    UNOBSERVED,
    AdapterCall,
    Ending,
    Event,
    Observer,
    Part,
    PoolUse,
    Target,
    Work,
    nothing,
)

log = get_logger("observing")

T = TypeVar("T")


class Watching:
    """Tells an observer of the work inside the block: ``with Watching(observer, work): …``."""

    __slots__ = ("_ending", "_observer", "_started", "_work")

    def __init__(self, observer: Observer, work: Work) -> None:
        self._observer = observer
        self._work = work

    def __enter__(self) -> None:
        self._ending = self._observer.began(self._work)
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.seconds = time.perf_counter() - self._started
        self._work.error = kind.__name__ if kind is not None else None
        self._ending()


class Guarded:
    """An observer whose defects do not reach the work that it observes: the first is logged, and all are survived."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._failed = False

    def began(self, work: Work) -> Ending:
        try:
            ending = self._observer.began(work)
        except Exception:  # noqa: BLE001  # whatever it is, the work has to go on
            self._say()
            return nothing
        return functools.partial(self._safely, ending)

    def noted(self, event: Event) -> None:
        self._safely(functools.partial(self._observer.noted, event))

    def _safely(self, tell: Ending) -> None:
        try:
            tell()
        except Exception:  # noqa: BLE001  # as above
            self._say()

    def _say(self) -> None:
        say, self._failed = (log.debug if self._failed else log.error), True
        say("The observer of this service failed; the work goes on.", action="observe", exc_info=True)


def guarded(observer: Observer | None) -> Observer:
    """Return what a service tells of its work."""
    return UNOBSERVED if observer is None or observer is UNOBSERVED else Guarded(observer)


# --- calls on adapters ----------------------------------------------------------------------------------------------


class Watched:
    """Stands before an adapter, and tells an observer of each call on it. Everything else is the adapter's own."""

    def __init__(self, inner: Any, target: Target, observer: Observer) -> None:
        self._inner = inner
        self._target = target
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        """Return the adapter's attribute; a method of its port with the telling around it, made once."""
        value = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(value):
            return value
        told = self._told(name, value)
        setattr(self, name, told)
        return told

    def _told(self, name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            with Watching(self._observer, AdapterCall(self._target, name, _size(args))):
                return await method(*args, **kwargs)

        return call


def _size(args: tuple[Any, ...]) -> int:
    return len(args[0]) if args and isinstance(args[0], list | tuple) else 1


def watched(adapter: T, part: Part, observer: Observer) -> T:
    """Return the adapter, with the telling before it where somebody listens."""
    if adapter is None or observer is UNOBSERVED:
        return adapter
    name = str(getattr(adapter, "kind", "") or getattr(adapter, "model", part.value))
    target = Target(part, name, getattr(adapter, "location", None))
    standing: Any = Watched(adapter, target, observer)
    return standing  # type: ignore[no-any-return]  # it has every attribute of the adapter


def pool_use(adapter: object) -> PoolUse | None:
    """Return the use of an adapter's connections, None where it does not say."""
    tell: Callable[[], PoolUse | None] | None = getattr(adapter, "pool_use", None)
    return tell() if tell is not None else None
