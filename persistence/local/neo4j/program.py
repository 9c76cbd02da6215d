"""The jars of the real Neo4j server, fetched once by Maven, and the launcher, compiled once.

Each lies in a folder named after what it was made from and made whole under another name first: a newer version never
takes the jars away from a server that runs from the older ones.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import DEVNULL, STDOUT

import anyio

from persistence.errors import ConfigurationError
from persistence.local.locks import locked
from persistence.local.neo4j.java import GET_JAVA, find_java, find_maven

POM = Path(__file__).with_name("pom.xml")
LAUNCHER = Path(__file__).with_name("Launcher.java")
INSTALL_TIMEOUT = 900.0


def jars_folder(program: Path) -> Path:
    """Return where the jars of the present pom.xml lie, or will."""
    return program / f"jars-{_digest(POM)}"


def classes_folder(program: Path) -> Path:
    """Return where the present launcher lies compiled, or will."""
    return program / f"classes-{_digest(POM, LAUNCHER)}"


def is_installed(program: Path) -> bool:
    """Say whether jars and launcher are there."""
    return jars_folder(program).exists() and classes_folder(program).exists()


async def install(program: Path) -> None:
    """Bring jars and launcher into the folder; nothing to do where they are there."""
    if is_installed(program):
        return
    await anyio.Path(program).mkdir(parents=True, exist_ok=True)
    async with locked(program / "lock", timeout=INSTALL_TIMEOUT):
        await anyio.to_thread.run_sync(_sweep, program)
        await _make(jars_folder(program), _fetch_jars)
        await _make(classes_folder(program), _compile)


def _digest(*files: Path) -> str:
    return hashlib.blake2b(b"\0".join(file.read_bytes() for file in files), digest_size=6).hexdigest()


def _sweep(program: Path) -> None:
    """Remove what was left half made; whoever was making it may live yet, and may put something in again."""
    for rest in program.glob("*.new"):
        shutil.rmtree(rest, ignore_errors=True)


async def _make(folder: Path, fill: Callable[[Path], Awaitable[None]]) -> None:
    """Have the folder filled under another name, then give it its own."""
    if not await anyio.Path(folder).exists():
        made = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.new")
        await anyio.Path(made).mkdir()
        await fill(made)
        await anyio.Path(made).rename(folder)


async def _fetch_jars(made: Path) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={made}"]
    message = "Maven could not fetch the jars of the local neo4j."
    await _run([find_maven(), "--batch-mode", "--file", POM, *goal], made, message, "check the network, then repeat")


async def _compile(made: Path) -> None:
    jars = os.pathsep.join(str(jar) for jar in sorted(jars_folder(made.parent).glob("*.jar")))
    compiler: list[str | Path] = [await find_java(), "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", jars]
    message = "The launcher of the local neo4j could not be compiled."
    await _run([*compiler, "-d", made, LAUNCHER], made, message, f"a JRE does not suffice: {GET_JAVA}")


async def _run(command: list[str | Path], made: Path, message: str, hint: str) -> None:
    log = made.parent / "install.log"
    words = [str(word) for word in command]
    done = None
    with log.open("wb") as output, anyio.move_on_after(INSTALL_TIMEOUT):
        done = await anyio.run_process(words, check=False, stdin=DEVNULL, stdout=output, stderr=STDOUT, cwd=made)
    if done is None or done.returncode != 0:
        raise ConfigurationError(message, hint=f"{hint}; see {log}")
