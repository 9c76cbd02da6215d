"""Stdin and stdout, taken for the protocol alone: read and written without a thread that nothing could stop."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio

from persistence.log import get_logger

log = get_logger("mcp")

_CHUNK = 65_536


@contextmanager
def taken(longest: int) -> Iterator[Wire]:
    """Take both streams for the rest of the process.

    From here on whatever else prints goes to stderr, and whatever else reads finds the end; neither is undone, since
    what prints at exit would end on the wire too.
    """
    sys.stdout.flush()
    source, target = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    try:
        yield Wire(source, target, longest)
    finally:
        os.close(source)
        os.close(target)


class Wire:
    """Lines in and lines out. ``longest``: bytes of a line at most; a longer one is skipped, and answered so."""

    def __init__(self, source: int, target: int, longest: int) -> None:
        self._source, self._target, self._longest = source, target, longest
        self._waits, self._waits_to_write = _can_wait(source), _can_wait(target)
        self._writing = anyio.Lock()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield line after line until the end of the stream."""
        line = _Line(self._longest)
        while chunk := await self._read():
            *ended, rest = chunk.split(b"\n")
            for piece in ended:
                line.add(piece)
                if (text := line.taken()) is None:
                    await self._refuse()
                else:
                    yield text
            line.add(rest)

    async def _read(self) -> bytes:
        if self._waits:
            await anyio.wait_readable(self._source)
        return os.read(self._source, _CHUNK)

    async def _refuse(self) -> None:
        log.warning("A message was too long, and skipped.", action="mcp.read", longest=self._longest)
        error = f'{{"code":-32600,"message":"The message is longer than {self._longest} bytes."}}'
        await self.write(f'{{"jsonrpc":"2.0","id":null,"error":{error}}}\n')

    async def write(self, text: str) -> None:
        """Write a whole message: in pieces that a pipe takes at once where it takes any, so that no write blocks."""
        async with self._writing:
            left = memoryview(text.encode())
            while left:
                if self._waits_to_write:
                    await anyio.wait_writable(self._target)
                left = left[os.write(self._target, left[: select.PIPE_BUF]) :]

    async def flush(self) -> None:
        """Nothing is held back."""


class _Line:
    """A line as it comes in; of one that is too long no more is kept than that it is."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held: bytearray | None = bytearray()

    def add(self, piece: bytes) -> None:
        if self._held is not None:
            self._held += piece
            if len(self._held) > self._longest:
                self._held = None

    def taken(self) -> str | None:
        """Return the line, None where it was too long, and begin the next."""
        held, self._held = self._held, bytearray()
        return None if held is None else held.decode(errors="replace")


def _can_wait(descriptor: int) -> bool:
    """Say whether one has to wait for it: a file is always ready, and cannot be waited for."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
