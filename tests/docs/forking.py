"""Forks of a warm process for shells: `diptych` in a page's command starts as quickly as a test's call does.

    python -P forking.py SOCKET

Each connection to the socket brings a line of JSON (``args``, ``environment``, ``folder``) and three open files. The
answer is the exit code. Any number run at once, so a pipe from one to another flows.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading

from tests.acceptance.warm_process import become, load, receive

#: What stands in the folder of a page's commands under the name `diptych`.
CLIENT = """#!{python} -IS
import json, os, socket, sys
call = socket.socket(socket.AF_UNIX)
call.connect({path!r})
request = {{"args": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}
socket.send_fds(call, [json.dumps(request).encode() + b"\\n"], [0, 1, 2])
sys.exit(int(call.makefile().readline()))
"""


def serve(listener: socket.socket) -> None:
    """Run every call in a child of a child, whose parent waits for it and answers."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for those that wait
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # its end is that of whoever started this
        call, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _wait_for_one(call)
            return
        call.close()


def _wait_for_one(call: socket.socket) -> None:
    request, streams = receive(call) or sys.exit("a call without arguments")
    pid = os.fork()
    if pid == 0:
        call.close()
        become(request, streams)
        return
    threading.Thread(target=_end_with_shell, args=(call, pid), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # the shell was killed
        call.sendall(f"{code % 256}\n".encode())


def _end_with_shell(call: socket.socket, pid: int) -> None:
    call.recv(1)
    with contextlib.suppress(ProcessLookupError):  # it has ended, as it should
        os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(sys.argv[1])
        at.listen(16)
        load()
        print("ready", flush=True)  # noqa: T201 - to whoever started it
        serve(at)
