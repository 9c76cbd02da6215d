"""A second process on a store that a test names: it reads what the test wrote, writes, says so, and is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from persistence.backends import graph_backend, vector_backend
from persistence.errors import PersistenceError
from persistence.ports.outbox import Key
from persistence.settings import PersistenceConfig
from tests.contract.conftest import Place
from tests.contract.graph.conftest import say_write
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_write

#: What the test writes, and what the second process does.
FIRST, SECOND = "first", "second"


def config(place: Place) -> PersistenceConfig:
    return PersistenceConfig(schema_name=place.schema)


async def truth(place: Place) -> bool:
    store = await vector_backend(place.url).make(place.url, config(place))
    await store.open(model="test", dimension=DIMENSION)
    seen = await store.read([Key("ada", FIRST)])
    await store.write(a_write(SECOND), AT_ONCE)
    return bool(seen)


async def graph(place: Place) -> bool:
    store = await graph_backend(place.url).make(place.url, config(place))
    await store.open()
    seen = await store.read([Key("ada", FIRST)])
    await store.apply([say_write(SECOND, 1, [("Ada", "Person")], user="ada")], timeout=30)
    return bool(seen)


async def run(side: str, place: Place) -> dict[str, Any]:
    """Run this file as a process of its own; return what it said before it was killed."""
    root = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *(side, place.url, place.schema),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((root, *place.path))},
    )
    said, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended by itself"
    return json.loads(said)


def main(side: str, url: str, schema: str) -> None:
    try:
        said: dict[str, Any] = {"seen": asyncio.run({"truth": truth, "graph": graph}[side](Place(url, schema)))}
    except PersistenceError as error:
        said = {"refused": type(error).__name__, "message": error.message}
    sys.stdout.write(json.dumps(said))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
