"""The local Qdrant: a program that is there is started, and where there is none it is said how to get one."""

import os
import socket
import sys
from pathlib import Path

import anyio
import pytest

from persistence.errors import ConfigurationError
from persistence.local import QdrantServer

# No registry that tests may use carries the server: this one listens where it is told to and says that it is ready.
PROGRAM = f"""#!{sys.executable}
import os, http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
address = os.environ["QDRANT__SERVICE__HOST"], int(os.environ["QDRANT__SERVICE__HTTP_PORT"])
pathlib.Path(os.environ["QDRANT__STORAGE__STORAGE_PATH"], "here").touch()
http.server.HTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a server whose program is the one above."""
    program = tmp_path / "qdrant-program"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("QDRANT_BIN", str(program))
    server = QdrantServer(tmp_path / "home", port=0)
    yield server
    await server.daemon.kill()


async def test_up_starts_the_program(server: QdrantServer):
    """The program listens on the recorded port of this machine only, its data lie in the server's folder."""
    assert await server.up() == f"qdrant://127.0.0.1:{server.port}"
    assert (await server.status()).running
    assert (server.data / "here").exists()
    assert [await server.down(), await server.down()] == [True, False]
    assert not (await server.status()).running


async def test_a_taken_port_is_passed_by(server: QdrantServer):
    """When the port of last time is somebody else's now, another is taken and recorded."""
    await server.up()
    port = server.port
    await server.down()
    with socket.create_server(("127.0.0.1", port)):
        assert await server.up() != f"qdrant://127.0.0.1:{port}"


async def test_a_server_that_does_not_answer_is_stopped(server: QdrantServer, monkeypatch: pytest.MonkeyPatch):
    """A program that never says that it is ready is one sentence with its log, and does not stay behind."""
    await anyio.Path(os.environ["QDRANT_BIN"]).write_text("#!/bin/sh\nexec sleep 1000\n")
    monkeypatch.setattr(QdrantServer, "start_timeout", 0.3)
    with anyio.fail_after(30), pytest.raises(ConfigurationError, match="did not answer") as caught:
        await server.up()
    assert str(server.log) in (caught.value.hint or "")
    assert not server.daemon.is_alive()


async def test_a_named_program_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """QDRANT_BIN that names nothing is said, not passed over."""
    monkeypatch.setenv("QDRANT_BIN", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="QDRANT_BIN"):
        await QdrantServer(tmp_path / "home").up()


async def test_without_program_and_docker_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing to start it with is one sentence and what to do."""
    monkeypatch.delenv("QDRANT_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no Qdrant on this machine") as caught:
        await QdrantServer(tmp_path / "home").up()
    assert "QDRANT_BIN" in (caught.value.hint or "")
