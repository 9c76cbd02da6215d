"""A package that is not ours, and brings a truth and a graph: ``theirs://name``. It stands on the stores in memory."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import urlsplit

from persistence import PersistenceConfig
from persistence.graph.memory import MemoryGraph
from persistence.ports.capabilities import Capability
from persistence.vector.memory import MemoryStore, Storage


class TheirTruth(MemoryStore):
    """A truth; stores of one name share their rows."""

    @property
    def kind(self) -> str:
        return "theirs"

    async def ping(self) -> str:
        await super().ping()
        return "theirs 1.0"


class TheirGraph(MemoryGraph):
    """A graph that cannot sum."""

    @property
    def kind(self) -> str:
        return "theirs"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities - {Capability.AGGREGATES}


class Truths:
    """What the entry point names: called with a URL and the settings, it returns the store, not opened."""

    def __init__(self) -> None:
        self._storages: defaultdict[str, Storage] = defaultdict(Storage)

    def __call__(self, url: str, config: PersistenceConfig) -> TheirTruth:  # noqa: ARG002  # how a backend is called
        return TheirTruth(self._storages[urlsplit(url).netloc])


truths = Truths()


async def graph(url: str, config: PersistenceConfig) -> TheirGraph:
    """Return a graph; what the entry point names may be asynchronous."""
    return TheirGraph()
