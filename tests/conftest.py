"""Real servers for the tests: where they are found, and how they end with the session.

A server is found by its URL in the environment, else started on this machine by `persistence.local`, else by Docker;
where none of these can be had the test is skipped with the reason, and with ``CI=true`` it fails.

Servers that the session has started die with it, even when it is killed: a watching process sees the end of a pipe.
With pytest-xdist each worker has servers of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
import neo4j
import neo4j.exceptions
import psutil
import psycopg
import pytest
from psycopg import sql

from persistence.errors import ConfigurationError
from persistence.local import LocalServer, Neo4jServer, PostgresServer, QdrantServer
from persistence.local import watch as watch_script
from tests import planted

POSTGRES_IMAGE = "pgvector/pgvector:pg17"
NEO4J_IMAGE = "neo4j:5.26-community"
OUR_LABELS = "DiptychMemory|DiptychEntity|DiptychStore"
# Quick instead of durable against the machine's own death; the death of a process loses nothing.
POSTGRES_OPTIONS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
NEO4J_JVM = ("-Xms256m", "-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class ServerUnderTest:
    """A server that a test may stop, start, kill and freeze; ``url`` stays the same through all of it."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.url = ""

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None where it does not run."""
        return self.server.daemon.pid()

    async def start(self) -> str:
        """Start the server where it does not run, wait until it answers, and return its URL."""
        self.thaw()
        url = await self.server.up()
        assert self.url in {"", url}, "the port of the server was taken while it was down"
        self.url = url
        return url

    async def stop(self) -> None:
        """Stop the server cleanly and wait for its end."""
        self.thaw()
        await self.server.stop()

    async def kill(self) -> None:
        """Kill the server (SIGKILL) and wait for its end."""
        await self.server.daemon.kill()
        await self.server.daemon.wait_for_end()

    async def stop_at_once(self) -> None:
        """Stop a Postgres as `pg_ctl stop -m immediate` does (SIGQUIT): it has to recover when it starts again."""
        self.thaw()
        await self.server.daemon.stop(how=signal.SIGQUIT, grace=30.0)

    def freeze(self) -> None:
        """Stop the server's processes where they stand (SIGSTOP): connections stay open, nobody answers."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a server's child may end at any time
                process.suspend()
                while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                    os.sched_yield()  # a signal is on its way for a moment

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a server's child may end at any time
                process.resume()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep the server frozen inside the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _processes(self) -> list[psutil.Process]:
        pid = self.pid
        if pid is None:
            return []
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            return [process, *process.children(recursive=True)]
        return []


def cache_folder() -> Path:
    """Return the folder for what the tests fetch once: the jars of Neo4j."""
    home = os.environ.get("DIPTYCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "diptych"
    return Path(home).expanduser().absolute()


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Have the folder's server end, and the folder removed, with this block or with this process."""
    command = [sys.executable, "-I", str(watch_script.__file__), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/"):
        yield


@contextmanager
def started(make: Callable[[Path], LocalServer]) -> Iterator[ServerUnderTest]:
    """Start a server in a folder of its own for the time of the block."""
    folder = Path(tempfile.mkdtemp(prefix="diptych-test-"))
    folder.chmod(0o711)  # a server that does not run as root must pass through
    with watched(folder):
        server = ServerUnderTest(make(folder))
        run_now(server.start)
        yield server


def installed(*packages: str) -> str | None:
    """Install packages of Debian's, one process after another; return why it could not be done, None where it was."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return f"Try: apt-get install {' '.join(packages)}."
    with Path(tempfile.gettempdir(), "diptych-test-packages.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in ([apt, "update", "-q"], [apt, "install", "-y", "-q", *packages]):
            ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    return f"{' and '.join(packages)}: {ran.stderr.strip()[-300:]}" if ran.returncode else None


def missing(reason: str) -> None:
    """Skip the test; with ``CI=true`` fail it, because a run without real stores proves nothing."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _sentence(error: ConfigurationError) -> str:
    return f"{error.message} Try: {error.hint}."


class ContainerUnderTest:
    """The same for a server in a container; its port is fixed, so that the URL survives a restart."""

    def __init__(self, image: str, port: int, environment: dict[str, str], url: str) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow, and rarely needed

        outside = _free_port(port)
        self.url = url.format(port=outside)
        self.container: Any = DockerContainer(image).with_bind_ports(port, outside)
        for name, value in environment.items():
            self.container.with_env(name, value)

    @property
    def pid(self) -> int | None:
        """The id of the server's process on the machine that runs the container."""
        container = self.container.get_wrapped_container()
        container.reload()
        return container.attrs["State"]["Pid"] or None

    async def start(self) -> str:
        """Start the container where it does not run, and wait until the server answers."""
        if self.container.get_wrapped_container() is None:
            await anyio.to_thread.run_sync(self.container.start)
        else:
            await anyio.to_thread.run_sync(self.container.get_wrapped_container().start)
        with anyio.fail_after(120):
            while not await anyio.to_thread.run_sync(answers, self.url):  # noqa: ASYNC110 - nobody tells us
                await anyio.sleep(0.2)
        return self.url

    async def stop(self) -> None:
        """Stop the server cleanly."""
        await anyio.to_thread.run_sync(self.container.get_wrapped_container().stop)

    async def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        await anyio.to_thread.run_sync(self.container.get_wrapped_container().kill)

    async def stop_at_once(self) -> None:
        """Stop a Postgres as `pg_ctl stop -m immediate` does."""
        await anyio.to_thread.run_sync(lambda: self.container.get_wrapped_container().kill(signal="SIGQUIT"))

    def freeze(self) -> None:
        """Stop the server's processes where they stand."""
        self.container.get_wrapped_container().pause()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.container.get_wrapped_container().unpause()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep the server frozen inside the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()


def _free_port(wanted: int) -> int:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    """Say whether the server at the URL answers a request."""
    try:
        if url.startswith("postgresql"):
            psycopg.connect(url, connect_timeout=2).close()
        else:
            with neo4j_driver(url) as driver:
                driver.verify_connectivity()
    except (psycopg.OperationalError, neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError):
        return False
    return True


def neo4j_driver(url: str) -> neo4j.Driver:
    """Return a blocking driver for a URL that holds user and password."""
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="").geturl()
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return neo4j.GraphDatabase.driver(bare, auth=auth)


@contextmanager
def in_container(make: Callable[[], ContainerUnderTest], reason: str) -> Iterator[ContainerUnderTest]:
    """Start a container for the time of the block; where Docker cannot be had, skip with both reasons."""
    if not docker_answers():
        missing(f"{reason} Docker does not answer either.")
    server = make()
    run_now(server.start)
    with server.container:
        yield server


def docker_answers() -> bool:
    """Say whether there is a Docker to start containers with; its own command asks without leaking a socket."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], check=False, capture_output=True).returncode == 0


def run_now(call: Callable[[], Any]) -> Any:
    """Run the asynchronous call to its end, whether an event loop runs in this thread or not."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, call).result()


def _postgres_container() -> ContainerUnderTest:
    url = "postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
    return ContainerUnderTest(POSTGRES_IMAGE, 5432, {"POSTGRES_PASSWORD": "postgres"}, url)


def _neo4j_container() -> ContainerUnderTest:
    environment = {"NEO4J_AUTH": "neo4j/a-password-for-tests"}
    return ContainerUnderTest(NEO4J_IMAGE, 7687, environment, "bolt://neo4j:a-password-for-tests@127.0.0.1:{port}")


@contextmanager
def _server(
    make: Callable[[Path], LocalServer], make_container: Callable[[], ContainerUnderTest]
) -> Iterator[ServerUnderTest | ContainerUnderTest]:
    with ExitStack() as stack:
        try:
            server: ServerUnderTest | ContainerUnderTest = stack.enter_context(started(make))
        except ConfigurationError as error:
            reason = f"{error.message} Try: {error.hint}."
            server = stack.enter_context(in_container(make_container, reason))
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[ServerUnderTest | ContainerUnderTest]:
    """Start a Postgres of our own, which a test may `await` to stop, start and kill, and may freeze and thaw."""
    with _server(lambda folder: PostgresServer(folder, options=POSTGRES_OPTIONS), _postgres_container) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[ServerUnderTest | ContainerUnderTest]:
    """Start a Neo4j of our own, which a test may `await` to stop, start and kill, and may freeze and thaw."""
    program = cache_folder() / "neo4j"
    with _server(
        lambda folder: Neo4jServer(folder, port=0, program=program, jvm=NEO4J_JVM), _neo4j_container
    ) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a real Postgres with pgvector."""
    url = os.environ.get("DIPTYCH_TEST_POSTGRES_URL") or request.getfixturevalue("postgres_server").url
    planted.plant(urlsplit(url).password, "the password of PostgreSQL")
    return str(url)


@pytest.fixture(scope="session")
def neo4j_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a real Neo4j, user and password included."""
    url = os.environ.get("DIPTYCH_TEST_NEO4J_URL") or request.getfixturevalue("neo4j_server").url
    planted.plant(urlsplit(url).password, "the password of Neo4j")
    return str(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Fail a test that logs or prints a secret of this run's."""
    report = yield
    planted.judge(report)
    return report


def pytest_report_header() -> str:
    """Say on what the tests of Qdrant's adapter run, since no package carries its server."""
    given = _given_qdrant()
    program = os.environ.get("QDRANT_BIN") or shutil.which("qdrant")
    if given:
        return "qdrant: the server that the environment names"
    if program:
        return f"qdrant: a server of our own, {program}"
    image = "a server in a container" if docker_answers() else "no server found: the client's own imitation of one"
    return f"qdrant: {image}, and the engine in this process"


def _given_qdrant() -> str | None:
    return os.environ.get("DIPTYCH_TEST_QDRANT_URL") or os.environ.get("QDRANT_URL")


@pytest.fixture(scope="session")
def qdrant_server() -> Iterator[ServerUnderTest]:
    """Start a Qdrant of our own, which a test may `await` to stop, start and kill, and may freeze and thaw."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(started(lambda folder: QdrantServer(folder, port=0)))
        except ConfigurationError as error:
            pytest.skip(_sentence(error))
        yield server


@pytest.fixture(scope="session")
def qdrant_url(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of a real Qdrant, None where there is none: the client's own imitation stands in for it then."""
    if given := _given_qdrant():
        return given
    try:
        return request.getfixturevalue("qdrant_server").url
    except pytest.skip.Exception:
        return None


@pytest.fixture
def pg_schema(postgres_url: str) -> Iterator[str]:
    """Return a name for a schema that is this test's alone; whatever was made under it is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def clean_neo4j(neo4j_url: str) -> str:
    """Return the URL of a Neo4j that holds nothing of ours; what others have there is left alone."""
    empty_neo4j(neo4j_url)
    return neo4j_url


def empty_neo4j(url: str) -> None:
    """Remove what is ours."""
    query = f"MATCH (n:{OUR_LABELS}) CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 10000 ROWS"
    with neo4j_driver(url) as driver, driver.session() as session:
        session.run(query).consume()
