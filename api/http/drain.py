"""The end of a server: what is under way comes to its end, or is broken off with an answer."""

from __future__ import annotations

import asyncio


class Drain:
    """Whether the server is about to end, and the requests that are under way. It is not undone."""

    def __init__(self) -> None:
        self.under_way = False
        self._no_streams = False
        self._requests: set[asyncio.Timeout] = set()
        self._streams: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """Say that the server is about to end: it is not ready any more."""
        self.under_way = True

    def cut_streams(self) -> None:
        """End the streams that would go on for ever, those that begin from now on, too."""
        self._no_streams = True
        for clock in self._streams:
            _cut(clock)

    def cut_all(self) -> None:
        """Break off every request that is under way."""
        for clock in self._requests | self._streams:
            _cut(clock)

    def add(self, request: asyncio.Timeout) -> None:
        """Take note of a request."""
        self._requests.add(request)

    def goes_on(self, request: asyncio.Timeout) -> None:
        """Let a request, whose answer turns out to be a stream of events, go on until streams are cut."""
        self._streams.add(request)
        if self._no_streams:
            _cut(request)

    def discard(self, request: asyncio.Timeout) -> None:
        """Forget a request that has ended."""
        self._requests.discard(request)
        self._streams.discard(request)


def _cut(clock: asyncio.Timeout) -> None:
    if not clock.expired():
        clock.reschedule(asyncio.get_running_loop().time())
