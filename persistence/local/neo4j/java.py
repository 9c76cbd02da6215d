"""Java and Maven on this machine: where they are, whether they will do, and how to get them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import anyio

from persistence.errors import ConfigurationError

NEEDED = 17
GET_JAVA = "install a JDK, 17 or newer, and put it on the PATH (or set JAVA_HOME)"
GET_MAVEN = "install Maven (`mvn`) and put it on the PATH"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


async def find_java() -> Path:
    """Return the program `java`, 17 or newer; raise ConfigurationError that says how to get it."""
    java = _find("java", os.environ.get("JAVA_HOME"))
    if java is None:
        raise ConfigurationError("The local neo4j needs Java, and there is none.", hint=GET_JAVA)
    done = await anyio.run_process([java, "-version"], check=False, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    found = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    if found is None or int(found[1]) < NEEDED:
        version = found[1] if found else "of an unknown version"
        raise ConfigurationError(f"The local neo4j needs Java {NEEDED} or newer; {java} is {version}.", hint=GET_JAVA)
    return java


def find_maven() -> Path:
    """Return the program `mvn`; raise ConfigurationError that says how to get it."""
    maven = _find("mvn", os.environ.get("MAVEN_HOME"))
    if maven is None:
        raise ConfigurationError("The local neo4j is fetched by Maven, and there is none.", hint=GET_MAVEN)
    return maven


def _find(program: str, home: str | None) -> Path | None:
    inside = Path(home) / "bin" / program if home else None
    if inside is not None and os.access(inside, os.X_OK):
        return inside
    found = shutil.which(program)
    return Path(found) if found else None
