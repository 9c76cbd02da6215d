"""Several observers as one."""

from __future__ import annotations

from contextlib import ExitStack

from persistence.ports.observer import Ending, Event, Observer, Work


class Together:
    """Tells each of several observers in turn, and of an end in the opposite order, as blocks within blocks end."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def began(self, work: Work) -> Ending:
        stack = ExitStack()
        for observer in self._observers:
            stack.callback(observer.began(work))
        return stack.close

    def noted(self, event: Event) -> None:
        for observer in self._observers:
            observer.noted(event)
