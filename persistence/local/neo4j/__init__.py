"""Neo4j Community from its jars: the real server, listening on Bolt at 127.0.0.1, with a password of its own.

The password is made with the data and kept beside them, for the owner alone; without one, any page in a browser could
reach the server through a WebSocket.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import anyio

from persistence.local.neo4j.java import find_java
from persistence.local.neo4j.program import classes_folder, install, jars_folder
from persistence.local.server import LocalServer, write_whole

_OPEN = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
DEFAULT_JVM = ("-Xms256m", "-Xmx768m")
DEFAULT_OPTIONS: Mapping[str, str] = {
    "server.memory.pagecache.size": "128m",
    "db.tx_log.rotation.retention_policy": "1 files",
    "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",  # else each stop takes ten seconds
    "dbms.usage_report.enabled": "false",
    "dbms.security.allow_csv_import_from_file_urls": "false",
}


class Neo4jServer(LocalServer):
    """A Neo4j whose databases lie in ``folder/data``.

    ``program`` is the folder of jars and launcher (``folder/program`` where not given), ``jvm`` are Java's flags,
    ``options`` settings of Neo4j by name.
    """

    name: ClassVar[str] = "neo4j"
    default_port: ClassVar[int] = 7687
    start_timeout: ClassVar[float] = 300.0  # a busy machine; that it ended is seen at once

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        program: Path | None = None,
        jvm: Sequence[str] = DEFAULT_JVM,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, port=port)
        self.program = program or folder / "program"
        self.jvm = jvm
        self.options = {**DEFAULT_OPTIONS, **(options or {})}
        self.java = Path("java")

    def url(self) -> str:
        return f"bolt://neo4j:{self.password}@127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        """The password of the user ``neo4j``."""
        return (self.folder / "password").read_text("ascii").strip()

    def command(self) -> Sequence[str | Path]:
        opened = [word for package in _OPEN for word in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
        path = os.pathsep.join([str(classes_folder(self.program)), str(jars_folder(self.program) / "*")])
        files = [self.folder / "neo4j.properties", self.folder / "password", self._ready]
        return [self.java, *self.jvm, *opened, "-cp", path, "Launcher", self.data, str(self.port), *files]

    async def is_ready(self) -> bool:
        return self._ready.exists() and self.daemon.is_alive()

    async def prepare(self) -> None:
        self.java = await find_java()
        await install(self.program)
        await self._set_aside_unfinished()
        self._ready.unlink(missing_ok=True)
        if not (self.folder / "password").exists():
            write_whole(self.folder / "password", secrets.token_urlsafe(18))
        settings = "".join(f"{name}={value}\n" for name, value in self.options.items())
        write_whole(self.folder / "neo4j.properties", settings)

    @property
    def _ready(self) -> Path:
        return self.folder / "ready"

    async def _set_aside_unfinished(self) -> None:
        """Begin anew where the very first start was cut short; what is there is kept under another name."""
        if self.data.exists() and not self._finished.exists():
            await anyio.Path(self.data).rename(self.folder / f"data.unfinished.{secrets.token_hex(4)}")

    @property
    def _finished(self) -> Path:
        return self.data / "finished"

    async def started(self) -> None:
        self._finished.touch()
