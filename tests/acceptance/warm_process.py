"""A process in which everything that the command imports is there: each call is a fork of it, and ends as a process.

    python -P warm_process.py SOCKET

For each line of JSON that arrives at the socket (``args``, ``environment``, ``folder``), together with three open files
for stdin, stdout and stderr, a child becomes the command. Answers with a line for its pid and a line for its exit code.
It ends when the socket does.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from api.cli import main
from api.cli._commands import LISTED

#: What the command loads when it opens real stores, beside its own module.
OPENING = (
    "anyio._backends._asyncio",
    "api.cli._app",
    "persistence.backends.neo4j",
    "persistence.backends.pgvector",
    "persistence.backends.postgres_graph",
    "persistence.embedding.hashing",
    "persistence.extraction.rules",
    "persistence.graph.neo4j",
    "persistence.graph.postgres",
    "persistence.vector.pgvector",
)
EXECUTABLE = Path(sys.executable).with_name("diptych")
STREAMS = 3


def load() -> None:
    """Import what the commands need; a fork takes no thread along, so there may be none."""
    for module in (*(one.module for one in LISTED), *OPENING):
        import_module(module)
    assert threading.active_count() == 1
    gc.freeze()  # else the first collection in each child copies every page that it looks at


def serve(calls: socket.socket) -> None:
    """Run one command after another, each in a child."""
    while call := receive(calls):
        request, streams = call
        pid = os.fork()
        if pid == 0:
            calls.close()
            become(request, streams)
            return
        for stream in streams:
            os.close(stream)
        calls.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        calls.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def receive(calls: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for the next call; None where there will be none."""
    data, streams, _, _ = socket.recv_fds(calls, 65_536, STREAMS)
    while data and not data.endswith(b"\n"):
        data += calls.recv(65_536)
    return (json.loads(data), streams) if data else None


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Be the command from here on, up to the interpreter's own end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [str(EXECUTABLE), *request["args"]]
    main()


if __name__ == "__main__":
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
