"""Qdrant from a program on this machine, else from Docker; no package registry carries the server."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import ClassVar

import anyio

from persistence.errors import ConfigurationError
from persistence.local.server import LocalServer

IMAGE = "qdrant/qdrant:v1.18.3"
PROBE_TIMEOUT = 1.0
HINT = "put the program `qdrant` of a release of Qdrant on the PATH or name it in QDRANT_BIN, or start Docker"


class QdrantServer(LocalServer):
    """A Qdrant whose collections lie in ``folder/data``; gRPC listens on the port above that of HTTP."""

    name: ClassVar[str] = "qdrant"
    default_port: ClassVar[int] = 6333
    start_timeout: ClassVar[float] = 300.0  # Docker may have to fetch the image

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self.program: Path | None = None

    def url(self) -> str:
        return f"qdrant://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return self._docker_command() if self.program is None else [self.program]

    def environment(self) -> Mapping[str, str] | None:
        ours = {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.port + 1),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.data),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }
        return {**os.environ, **ours}

    async def is_ready(self) -> bool:
        try:
            with anyio.fail_after(PROBE_TIMEOUT):
                async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
                    await stream.send(b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                    answer = await stream.receive(32)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):  # a TimeoutError is an OSError
            return False
        return answer.split(b" ")[1:2] == [b"200"] and self.daemon.is_alive()

    async def prepare(self) -> None:
        self.program = _find_program()
        if self.program is None:
            await _need_docker()
            await _run("docker", "rm", "--force", self._container)
        self.data.mkdir(exist_ok=True)

    @property
    def _container(self) -> str:
        return f"diptych-qdrant-{hashlib.blake2b(os.fsencode(self.folder), digest_size=6).hexdigest()}"

    def _docker_command(self) -> list[str]:
        ports = [f"127.0.0.1:{self.port}:6333", f"127.0.0.1:{self.port + 1}:6334"]
        published = [word for port in ports for word in ("--publish", port)]
        volume = ["--volume", f"{self.data}:/qdrant/storage"]
        return ["docker", "run", "--rm", "--name", self._container, *published, *volume, IMAGE]


def _find_program() -> Path | None:
    """Return the program that is named or on the PATH; raise ConfigurationError where the one named is none."""
    named = os.environ.get("QDRANT_BIN")
    found = shutil.which(named or "qdrant")
    if named and not found:
        raise ConfigurationError("QDRANT_BIN names no program.", hint="set it to the path of `qdrant`, or unset it")
    return Path(found).absolute() if found else None


async def _need_docker() -> None:
    if shutil.which("docker") is None or not await _run("docker", "version"):
        raise ConfigurationError("There is no Qdrant on this machine, and no Docker that answers to run it.", hint=HINT)


async def _run(*command: str) -> bool:
    done = await anyio.run_process(command, check=False, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    return done.returncode == 0
