"""Worker processes as seen by who starts them: they are ordered, killed, paused, and born again."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.histories.worker import Spec

#: Seconds for a worker to come to rest: its calls' deadlines, on a busy machine.
PATIENCE = 120.0


class WorkerEndedError(Exception):
    """A worker ended that nobody had killed, or did not do as it was ordered."""


class WorkerProcess:
    """One worker; after a kill it is another process, with files of its own."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """The name of the process that there is now."""
        return self._spec.name

    async def start(self) -> None:
        """Start the process, which waits for orders."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.histories.worker", json.dumps(dataclasses.asdict(self._spec)),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip

    async def kill(self) -> None:
        """Kill the process (SIGKILL). Raises WorkerEndedError where it has ended by itself."""
        if self._running.returncode is not None:
            raise WorkerEndedError(self._ended_by_itself())
        self._running.kill()
        await self._running.wait()

    async def rise(self) -> None:
        """Let another process take the place of one that was killed."""
        self._spec = dataclasses.replace(self._spec, life=self._spec.life + 1)
        await self.start()

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP)."""
        os.kill(self._running.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        os.kill(self._running.pid, signal.SIGCONT)

    def order(self, what: str) -> None:
        """Say what is to be done."""
        if self._running.returncode is None and self._running.stdin:
            self._running.stdin.write(f"{what}\n".encode())

    async def said(self, what: str) -> None:
        """Wait until the process says this. Raises WorkerEndedError."""
        out = self._running.stdout
        try:
            async with asyncio.timeout(PATIENCE):
                while out and (line := await out.readline()):
                    if line.decode().strip() == what:
                        return
        except TimeoutError:
            raise WorkerEndedError(f"{self.name} did not come to be {what} in {PATIENCE:.0f} s") from None
        raise WorkerEndedError(self._ended_by_itself())

    async def end(self) -> None:
        """End the process in good order. Raises WorkerEndedError."""
        if self._running.stdin:
            self._running.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._running.wait()
        except TimeoutError:
            raise WorkerEndedError(f"{self.name} did not end in {PATIENCE:.0f} s") from None
        if code:
            raise WorkerEndedError(f"{self.name} ended with {code}: {self._log.read_text()[-2_000:]}")

    def _ended_by_itself(self) -> str:
        return f"{self.name} ended by itself: {self._log.read_text()[-2_000:]}"

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the worker was not started"
        return self._process

    @property
    def _log(self) -> Path:
        return Path(self._spec.folder) / f"{self.name}.log"


@asynccontextmanager
async def working(specs: list[Spec]) -> AsyncIterator[list[WorkerProcess]]:
    """Have workers of these specs, which wait for orders; whatever happens, none outlives the block."""
    workers = [WorkerProcess(spec) for spec in specs]
    try:
        for worker in workers:
            await worker.start()
        yield workers
    finally:
        for worker in workers:
            if worker._process is not None and worker._process.returncode is None:
                await worker.kill()
