"""A process that writes into a file truth and a file graph until it is killed, and says what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

from persistence.files import FilePolicy
from persistence.graph.memory import FileGraph
from persistence.ports.graph import GraphWrite
from persistence.projection import bucket
from persistence.vector.memory import FileStorage, MemoryStore
from tests.contract.graph.conftest import say_write
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write

#: So often that kills fall into the writing of snapshots too.
POLICY = FilePolicy(persist_every=0.02)


def say(*words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def write_truth(store: MemoryStore, writer: int, rng: random.Random) -> None:
    while True:
        memory_id = f"{writer}-{rng.randrange(20)}"
        if rng.random() < 0.2:
            (receipt,) = await store.delete_many([a_delete(memory_id)], AT_ONCE)
            say("deleted", memory_id, receipt.version)
        elif rng.random() < 0.2:
            batch = [a_write(f"{writer}-{n}", content=f"{rng.random()}") for n in range(rng.randrange(1, 20))]
            for write, receipt in zip(batch, await store.write_many(batch, AT_ONCE), strict=True):
                say("written", write.id, receipt.version, write.content)
        else:
            write = a_write(memory_id, content=f"{rng.random()}")
            say("written", memory_id, (await store.write(write, AT_ONCE)).version, write.content)


async def write_graph(graph: FileGraph, rng: random.Random, version: int) -> None:
    while True:
        version += 1
        memory_id = f"g{rng.randrange(20)}"
        write = say_write(memory_id, version, [(rng.choice("abc"), "T")])
        if rng.random() < 0.2:
            write = GraphWrite("u1", memory_id, version, bucket("u1", memory_id), None, None)
        await graph.apply([write], timeout=30)
        say("graph", memory_id, version, None if write.fragment is None else write.fragment.digest)


async def main(folder: Path, seed: int) -> None:
    store, graph = MemoryStore(FileStorage(folder, POLICY)), FileGraph(folder, POLICY)
    await store.open(model="test", dimension=DIMENSION)
    await graph.open()
    say("open")
    writers = [write_truth(store, n, random.Random(f"{seed}-{n}")) for n in range(3)]
    await asyncio.gather(*writers, write_graph(graph, random.Random(seed), seed * 1_000_000))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
