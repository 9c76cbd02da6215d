"""The jars of the real Neo4j server, fetched once by Maven, and the launcher, compiled once."""

from __future__ import annotations

import os
import secrets
import shutil
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, STDOUT

import anyio

from persistence.errors import ConfigurationError
from persistence.local.locks import locked
from persistence.local.neo4j.java import GET_JAVA, find_java, find_maven

HERE = Path(__file__).parent
INSTALL_TIMEOUT = 900.0


async def installed(folder: Path) -> None:
    """Have jars and launcher in ``folder``: fetched where they are not, made whole under another name first."""
    if await is_installed(folder):
        return
    await anyio.Path(folder.parent).mkdir(parents=True, exist_ok=True)
    async with locked(folder.with_name(f"{folder.name}.lock"), timeout=INSTALL_TIMEOUT):
        if not await is_installed(folder):
            await _install(folder)


async def is_installed(folder: Path) -> bool:
    """Say whether the folder holds what the present pom.xml and Launcher.java make."""
    for name in ("pom.xml", "Launcher.java"):
        kept = anyio.Path(folder / name)
        if not await kept.exists() or await kept.read_bytes() != await anyio.Path(HERE / name).read_bytes():
            return False
    return True


async def _install(folder: Path) -> None:
    java, maven = await find_java(), find_maven()
    for rest in (folder, *folder.parent.glob(f"{folder.name}.*.new")):
        await anyio.to_thread.run_sync(partial(shutil.rmtree, rest, ignore_errors=True))  # its Maven may live yet
    made = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.new")
    made.mkdir()
    for name in ("pom.xml", "Launcher.java"):
        shutil.copyfile(HERE / name, made / name)
    await _fetch_jars(maven, made)
    await _compile(java, made)
    made.rename(folder)


async def _fetch_jars(maven: Path, made: Path) -> None:
    goal: list[str | Path] = [
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={made / 'jars'}",
    ]
    await _run(
        [maven, "--batch-mode", "--file", made / "pom.xml", *goal],
        made,
        "Maven could not fetch the jars of the local neo4j.",
        "check the network, then repeat",
    )


async def _compile(java: Path, made: Path) -> None:
    jars = os.pathsep.join(str(jar) for jar in sorted((made / "jars").glob("*.jar")))
    compiler: list[str | Path] = [java, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", jars]
    command = [*compiler, "-d", made / "classes", made / "Launcher.java"]
    message = "The launcher of the local neo4j could not be compiled."
    await _run(command, made, message, f"a JRE does not suffice: {GET_JAVA}")


async def _run(command: list[str | Path], made: Path, message: str, hint: str) -> None:
    log = made.parent / "install.log"
    words = [str(word) for word in command]
    done = None
    with log.open("wb") as output, anyio.move_on_after(INSTALL_TIMEOUT):
        done = await anyio.run_process(words, check=False, stdin=DEVNULL, stdout=output, stderr=STDOUT, cwd=made)
    if done is None or done.returncode != 0:
        raise ConfigurationError(message, hint=f"{hint}; see {log}")
