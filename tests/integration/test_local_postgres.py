"""The local Postgres: one cluster, started once, whatever happened before."""

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psycopg
import pytest

from persistence.errors import ConfigurationError
from persistence.local import PostgresServer, ensure_postgres, local_server

UP = """
import anyio, sys
from pathlib import Path
from persistence.local import ensure_postgres
print(anyio.run(ensure_postgres, Path(sys.argv[1])))
"""


@contextmanager
def home() -> Iterator[Path]:
    """Make a folder that others may pass through; those that pytest makes are closed to all but one account."""
    with tempfile.TemporaryDirectory(prefix="diptych-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
async def fresh():
    """Make a server whose cluster has not been made."""
    with home() as folder:
        server = PostgresServer(folder / "postgres")
        yield server
        await server.stop()


@pytest.fixture(scope="module")
def cluster():
    """Make a folder with a cluster, to be copied: making one takes longer than starting it."""

    async def make(server: PostgresServer) -> None:
        await server.up()
        await server.stop()

    with home() as folder:
        server = PostgresServer(folder / "postgres")
        anyio.run(make, server)
        yield server.folder


@pytest.fixture
async def server(fresh: PostgresServer, cluster: Path):
    """Make a server that has been up before."""
    await anyio.run_process(["cp", "-a", str(cluster), str(fresh.folder)])
    return fresh


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


async def test_up_is_a_real_postgres_with_pgvector(fresh: PostgresServer):
    """The URL leads to a Postgres that can make the extension and keeps what is committed durable."""
    url = await fresh.up()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    assert ask(url, "SELECT '[3,4]'::vector <-> '[0,0]'") == 5.0
    assert ask(url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"


async def test_up_twice_is_one_server(server: PostgresServer):
    """The second call finds the server that runs."""
    first = await server.up()
    pid = server.daemon.pid()
    assert await server.up() == first
    assert server.daemon.pid() == pid


async def test_down_twice_and_up_again_keeps_the_data(server: PostgresServer):
    """The second stop is no error, and what was written is there after the next start."""
    url = await server.up()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    assert [await server.down(), await server.down()] == [True, False]
    assert (await server.status()).running is False
    assert ask(await server.up(), "SELECT number FROM kept") == 42


async def test_two_processes_start_it_once(fresh: PostgresServer):
    """Of two processes that start it at the same time, one does; both get the URL of the same fresh."""

    async def run() -> None:
        done = await anyio.run_process([sys.executable, "-c", UP, str(fresh.folder.parent)])
        urls.append(done.stdout.decode().strip())

    urls: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    assert urls == [fresh.url(), fresh.url()]
    assert ask(urls[0], "SELECT count(*) FROM pg_database") == 3


async def test_it_outlives_the_process_that_started_it(server: PostgresServer):
    """A server started by a process that has ended is found and used, not started again."""
    await anyio.run_process([sys.executable, "-c", UP, str(server.folder.parent)])
    pid = server.daemon.pid()
    assert await ensure_postgres(server.folder.parent) == server.url()
    assert server.daemon.pid() == pid


async def test_a_killed_server_is_started_again(server: PostgresServer):
    """What a kill -9 leaves behind (postmaster.pid, socket, lock) does not keep the next one from starting."""
    await server.up()
    await server.daemon.kill()
    assert (server.data / "postmaster.pid").exists()
    assert ask(await server.up(), "SELECT 1") == 1


async def test_a_pid_of_another_process_is_not_taken_for_the_server(server: PostgresServer):
    """After a restart of the machine the recorded id may be anybody's: the server is started all the same."""
    await server.up()
    await server.daemon.kill()
    stale = (server.data / "postmaster.pid").read_text().split("\n", 1)[1]
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{stale}")
    server.daemon.file.write_text(f"{os.getpid()}\n")
    assert (await server.status()).running is False
    assert ask(await server.up(), "SELECT 1") == 1


async def test_a_parent_killed_during_the_set_up_leaves_no_half_made_cluster(fresh: PostgresServer):
    """A folder that a killed set-up left behind is thrown away, and the cluster made anew."""
    command = [sys.executable, "-c", UP, str(fresh.folder.parent)]
    async with await anyio.open_process(command, start_new_session=True) as process:
        with anyio.fail_after(30):
            while not list(fresh.folder.glob("data.*.new/PG_VERSION")):  # noqa: ASYNC110 - a file is made
                await anyio.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    assert not fresh.data.exists()
    assert ask(await fresh.up(), "SELECT 1") == 1
    assert not list(fresh.folder.glob("data.*.new"))


async def test_a_path_too_long_for_a_socket(cluster: Path):
    """Where the folder's path is too long for a Unix socket the socket lies in a short folder of its own."""
    with home() as folder:
        server = PostgresServer(folder / ("long" * 20))
        await anyio.run_process(["cp", "-a", str(cluster), str(server.folder)])
        try:
            assert ask(await server.up(), "SELECT 1") == 1
            assert server.sockets.stat().st_mode & 0o077 == 0
        finally:
            await server.stop()
            shutil.rmtree(server.sockets)


async def test_a_taken_port_is_passed_by(server: PostgresServer):
    """Where it is to listen on a network port and that is taken, it takes another and records it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listening = PostgresServer(server.folder, port=port, options={"listen_addresses": "127.0.0.1"})
        assert ask(await listening.up(), "SELECT 1") == 1
        assert listening.port != port
        assert str(PostgresServer(server.folder).port) in server.url()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to let the server run as somebody else")
async def test_root_lets_somebody_else_run_it(fresh: PostgresServer):
    """Started by root the server runs as an account without rights, whose folders nobody else may enter."""
    await fresh.up()
    assert fresh.data.stat().st_uid != 0
    assert {folder.stat().st_mode & 0o077 for folder in (fresh.data, fresh.sockets)} == {0}


async def test_a_cluster_that_does_not_start_names_its_log(server: PostgresServer):
    """A server that ends while starting is one sentence, with where to look."""
    await server.up()
    await server.stop()
    (server.data / "PG_VERSION").write_text("1\n")
    with pytest.raises(ConfigurationError, match="ended while starting") as caught:
        await server.up()
    assert str(server.log) in (caught.value.hint or "")


async def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path):
    """A home that is no folder (or closed, or on a full disk) is a typed error that names it, not a traceback."""
    await anyio.Path(tmp_path / "home").touch()
    with pytest.raises(ConfigurationError, match="could not be started: Not a directory") as caught:
        await ensure_postgres(tmp_path / "home")
    assert str(tmp_path / "home") in (caught.value.hint or "")


def test_an_unknown_server_is_refused(tmp_path: Path):
    """Only the servers that there are can be named."""
    with pytest.raises(ConfigurationError, match="postgres, neo4j, qdrant"):
        local_server("oracle", tmp_path)
