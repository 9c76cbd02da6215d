"""Standard input, read without holding up the event loop or the end of the process."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import threading
from collections.abc import Callable

_CHUNK = 65_536


async def read_stdin(limit: int) -> bytes:
    """Return what stdin holds, up to its end or until more than ``limit`` bytes have come."""
    fd = sys.stdin.fileno()
    return await _in_daemon(lambda: _read_up_to(fd, limit))


async def read_answer() -> str:
    """Return the line that a person types at the terminal, in lower case."""
    fd = sys.stdin.fileno()
    return (await _in_daemon(lambda: os.read(fd, _CHUNK))).decode(errors="replace").strip().lower()


async def read_secret() -> str:
    """Return the line that a person types at the terminal, which does not show it meanwhile."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(fd, termios.TCSADRAIN, silent)
    try:
        typed = await _in_daemon(lambda: os.read(fd, _CHUNK))
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
    # As the environment has bytes that are no text: what was replaced would be the same secret for many.
    return typed.decode(errors="surrogateescape").rstrip("\r\n")


async def _in_daemon(read: Callable[[], bytes]) -> bytes:
    """Read in a daemon thread, from the file descriptor itself.

    An executor's thread would be waited for when the process ends, and one that holds the lock of ``sys.stdin`` would
    end it with a fatal error.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def answer(got: bytes | None, error: OSError | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(got or b"")

    def work() -> None:
        try:
            got = read()
        except OSError as error:
            loop.call_soon_threadsafe(answer, None, error)
        else:
            loop.call_soon_threadsafe(answer, got, None)

    threading.Thread(target=work, name="stdin", daemon=True).start()
    return await done


def _read_up_to(fd: int, limit: int) -> bytes:
    chunks = bytearray()
    while len(chunks) <= limit and (chunk := os.read(fd, _CHUNK)):
        chunks += chunk
    return bytes(chunks)
