"""The local Neo4j: what is missing is said, what was cut short is begun anew, what was written stays."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import neo4j
import pytest
from neo4j.exceptions import AuthError

from persistence.errors import ConfigurationError
from persistence.local import Neo4jServer, ensure_neo4j
from persistence.local.neo4j import program


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that is all of the PATH, with nothing in it but a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("JAVA_HOME", "MAVEN_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_program(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


async def test_without_java_it_says_how_to_get_it(tools: Path, tmp_path: Path):
    """No Java is one sentence and what to install, and nothing is started."""
    with pytest.raises(ConfigurationError, match="needs Java, and there is none") as caught:
        await ensure_neo4j(tmp_path / "home")
    assert "JDK, 17" in (caught.value.hint or "")


@pytest.mark.parametrize(("version", "found"), [("1.8.0_362", "8"), ("11.0.2", "11"), ("", "of an unknown version")])
async def test_an_old_java_is_refused(tools: Path, tmp_path: Path, version: str, found: str):
    """A Java older than 17 is named with its version."""
    put_program(tools / "java", f"echo 'openjdk version \"{version}\" 2019-01-15' >&2")
    with pytest.raises(ConfigurationError, match=f"needs Java 17 or newer; .* is {found}"):
        await ensure_neo4j(tmp_path / "home")


async def test_without_maven_it_says_how_to_get_it(tools: Path, tmp_path: Path):
    """Java alone does not suffice: the jars are fetched by Maven."""
    put_program(tools / "java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")
    with pytest.raises(ConfigurationError, match="fetched by Maven, and there is none") as caught:
        await ensure_neo4j(tmp_path / "home")
    assert "mvn" in (caught.value.hint or "")


async def test_a_fetch_that_fails_leaves_nothing_that_looks_whole(tools: Path, tmp_path: Path):
    """When Maven fails the sentence names its log, and the next call tries again."""
    put_program(tools / "java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")
    put_program(tools / "mvn", "echo no network; exit 1")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="could not fetch the jars") as caught:
            await ensure_neo4j(tmp_path / "home")
    log = tmp_path / "home" / "neo4j" / "program" / "install.log"
    assert str(log) in (caught.value.hint or "")
    assert log.read_text() == "no network\n"
    assert not program.is_installed(tmp_path / "home" / "neo4j" / "program")


@pytest.fixture
def driver_of() -> Iterator[object]:
    """Give a function that opens a driver for a URL, with another password where one is given."""
    drivers: list[neo4j.Driver] = []

    def open_driver(url: str, password: str | None = None) -> neo4j.Driver:
        parts = urlsplit(url)
        auth = (parts.username, password or parts.password)
        drivers.append(neo4j.GraphDatabase.driver(f"bolt://{parts.hostname}:{parts.port}", auth=auth))
        return drivers[-1]

    yield open_driver
    for driver in drivers:
        driver.close()


@pytest.mark.long
@pytest.mark.timeout(300)  # two starts of a JVM on a machine that may be busy
async def test_a_life_with_faults(neo4j_server, tmp_path: Path, driver_of):
    """A first start cut short is begun anew; after a kill -9 and with its port taken, what was written is there.

    Only who knows the password gets in, because any page in a browser can reach a port of this machine.
    """
    jvm = ("-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    server = Neo4jServer(tmp_path / "neo4j", port=0, program=program_of(neo4j_server), jvm=jvm)
    half_made = server.data / "data" / "databases" / "system"
    half_made.mkdir(parents=True)
    (half_made / "neostore").write_bytes(b"half a store")
    try:
        url = await server.up()
        assert [folder.name[:16] for folder in server.folder.glob("data.*")] == ["data.unfinished."]
        with pytest.raises(AuthError):
            driver_of(url, "guessed").verify_connectivity()
        driver_of(url).execute_query("CREATE (:Kept {number: 42})")

        await server.daemon.kill()
        port = server.port
        with socket.create_server(("127.0.0.1", port)):
            url = await server.up()
        assert server.port != port
        assert driver_of(url).execute_query("MATCH (n:Kept) RETURN n.number").records[0].value() == 42
        assert [await server.down(), await server.down()] == [True, False]
    finally:
        await server.daemon.kill()


def program_of(server_under_test) -> Path:
    """Use the jars that the session's server was started from; a container has none."""
    server = getattr(server_under_test, "server", None)
    if server is None:
        pytest.skip("Neo4j runs in a container; there are no jars on this machine.")
    return server.program


async def test_what_is_installed_is_not_fetched_again(neo4j_server, tools: Path):
    """With jars and launcher there neither Maven nor the compiler is asked for."""
    await program.install(program_of(neo4j_server))
    assert [path async for path in anyio.Path(tools).iterdir()] == []


async def test_another_version_lies_beside_the_present_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A new pom.xml or launcher means new folders, so that what a server runs from is never taken away."""
    before = {program.jars_folder(tmp_path), program.classes_folder(tmp_path)}
    newer = tmp_path / "Launcher.java"
    await anyio.Path(newer).write_text("class Launcher {}")
    monkeypatch.setattr(program, "LAUNCHER", newer)
    assert program.jars_folder(tmp_path) in before
    assert program.classes_folder(tmp_path) not in before
