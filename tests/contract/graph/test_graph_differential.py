"""The same random programs on the graph in memory and on every real one: the same answers, refusals included."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from persistence.errors import PersistenceError
from persistence.graph.memory import MemoryGraph
from persistence.ports.graph import GraphStore, GraphWrite
from persistence.ports.outbox import Key
from persistence.ports.vector import Tombstone

OTHERS = ("file_graph", "neo4j_graph", "postgres_graph", "theirs_graph")
SEEDS = range(int(os.environ.get("DIPTYCH_TEST_PROGRAMMES", "12")))
STEPS = 25
USERS = ("u1", "u2")
IDS = [*"abcdefgh", "😀", "`"]
NAMES = ["Ada", "ada", "ADA  ", "Bob", "Straße", "STRASSE", "😀", "\uffee", "x'y", "Eve"]
TYPES = ["Person", "Org", "`", "\uffee", "😀"]
RELATIONS = ["KNOWS", "LIKES", "a`b", "'"]
VALUES: list[Any] = [1, -1.5, 2.0, "t", "", True, [], ["a", "b"], [1, 2], [0.5], [False]]


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> GraphStore:
    return request.getfixturevalue(request.param)


class Programme:
    """Random calls of the port, each as a function of the graph it is made on."""

    def __init__(self, seed: int, say, forget) -> None:
        self.rng = random.Random(seed)
        self._say = say
        self._forget = forget

    def call(self):
        """Return the next call."""
        kinds = [self.apply, self.apply, self.apply, self.related, self.entities, self.collect, self.late, self.twins]
        return self.rng.choice(kinds)()

    def apply(self):
        writes = self.writes()
        return lambda graph: graph.apply(writes, timeout=30)

    def late(self):
        writes, timeout = self.writes(), self.rng.choice([0, -1])
        return lambda graph: graph.apply(writes, timeout=timeout)

    def twins(self):
        writes = self.writes()
        return lambda graph: graph.apply([*writes, *writes[:1]], timeout=30)

    def related(self):
        rng = self.rng
        user, ids = rng.choice(USERS), rng.choices([*IDS, "nobody"], k=rng.randint(0, 3))
        depth, limit = rng.randint(0, 4), rng.choice([0, 1, 3, 50])
        return lambda graph: graph.related(user, ids, depth=depth, limit=limit)

    def entities(self):
        after = self.rng.choice([None, ("Person", "bob"), ("`", ""), ("\uffee", "zz")])
        user, limit = self.rng.choice(USERS), self.rng.choice([1, 3, 100])
        return lambda graph: graph.entities(user, after=after, limit=limit)

    def collect(self):
        rng = self.rng
        gone = [Tombstone(rng.choice(USERS), memory_id, rng.randint(1, 12)) for memory_id in rng.sample(IDS, 3)]
        return lambda graph: graph.collect(gone)

    def writes(self) -> list[GraphWrite]:
        rng = self.rng
        keys = rng.sample([(user, memory_id) for user in USERS for memory_id in IDS], rng.choice([1, 1, 2, 5, 12]))
        return [self.write(user, memory_id) for user, memory_id in keys]

    def write(self, user: str, memory_id: str) -> GraphWrite:
        rng = self.rng
        version, force = rng.randint(1, 12), rng.random() < 0.1
        if rng.random() < 0.25:
            return self._forget(memory_id, version, user=user, force=force)
        kinds = {name.strip().casefold(): rng.choice(TYPES) for name in NAMES}
        names = rng.sample(NAMES, rng.choice([0, 1, 2, 3]))
        entities = [(name, kinds[name.strip().casefold()], self.properties()) for name in names]
        ends = [name for name in names if sum(n.strip().casefold() == name.strip().casefold() for n in names) == 1]
        relations = [
            (rng.choice(ends), rng.choice(RELATIONS), rng.choice(ends), self.properties())
            for _ in range(rng.randint(0, 3))
            if ends
        ]
        return self._say(memory_id, version, entities, relations, user=user, text=rng.choice("xy"), force=force)

    def properties(self) -> dict[str, Any]:
        return {
            name: self.rng.choice(VALUES)
            for name in self.rng.sample(["p", "q`", "name", "type"], self.rng.randint(0, 2))
        }


async def outcome(graph: GraphStore, call) -> Any:
    """Return the answer of a call, or the class of its refusal."""
    try:
        return await call(graph)
    except PersistenceError as error:
        return type(error)


async def everything(graph: GraphStore) -> Any:
    """Return all that a graph says of the keys a program can touch."""
    read = await graph.read([Key(user, memory_id) for user in USERS for memory_id in IDS])
    counts = [await graph.counts(user) for user in (None, *USERS, "nobody")]
    return read, counts, [await graph.entities(user, after=None, limit=1_000) for user in USERS]


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_same_programs_give_the_same_answers(other, say, forget, seed):
    """Acks, refusals, reads, walks and counts of a random program agree, call by call (the seed is in the name)."""
    programme, model = Programme(seed, say, forget), MemoryGraph()
    for step in range(STEPS):
        call = programme.call()
        assert await outcome(model, call) == await outcome(other, call), f"seed {seed}, step {step}"
    assert await everything(model) == await everything(other)
