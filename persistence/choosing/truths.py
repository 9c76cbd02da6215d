"""The truths that could be chosen. A new one is one more function, in its place in ``TRUTHS``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import SecretStr

from persistence.choosing import figures as f
from persistence.choosing.facts import Facts
from persistence.choosing.options import Option, alone, install, quick_search, slow_search, start, too_large
from persistence.urls import EMBEDDED, MEMORY

#: In the folder of the settings.
SQLITE_FILE, QDRANT_FOLDER = "truth.db", "qdrant"
DEFAULT_CACHE_MB, DEFAULT_POOL = 256, 8


def sqlite_url(home: Path) -> str:
    """Return the URL of the truth in the folder of the settings."""
    return f"sqlite:///{home.expanduser().absolute() / SQLITE_FILE}"


def in_memory(facts: Facts) -> Option:
    """In the process's memory: for what may go with it."""
    lost = ("Everything in it is gone with the process, and it is to last.",) if facts.durable else ()
    reasons = ("What is stored may go with the process.", quick_search(facts, f.MEMORY_SEARCH))
    objections = (
        *lost,
        *alone(facts),
        *too_large("It is all", f.truth_bytes(facts), facts),
        *slow_search(facts, f.MEMORY_SEARCH),
    )
    return Option("memory", SecretStr(MEMORY), reasons, objections)


def postgres(facts: Facts) -> Option:
    """On a PostgreSQL server that is known."""
    server = facts.server("postgres")
    if server is None:
        return Option("pgvector", SecretStr("postgresql://"), objections=("No PostgreSQL server is known.",))
    reasons = (f"A PostgreSQL is there ({server.origin}), and any number of processes can use it.", _index(facts))
    to_do = (*install("pgvector", facts), *start(server))
    return Option("pgvector", server.url, reasons, to_do=to_do, settings=_pool(facts))


def qdrant(facts: Facts) -> Option:
    """On a Qdrant server that is known."""
    server = facts.server("qdrant")
    if server is None:
        return Option("qdrant", SecretStr("qdrant://localhost"), objections=("No Qdrant server is known.",))
    reasons = (f"A Qdrant is there ({server.origin}), and any number of processes can use it.", _index(facts))
    return Option("qdrant", server.url, reasons, to_do=(*install("qdrant", facts), *start(server)))


def sqlite(facts: Facts) -> Option:
    """In one file on this machine."""
    reasons = ("It is one file, and needs no server.", quick_search(facts, f.SQLITE_SEARCH), _writes(facts))
    objections = (
        *_busy(facts),
        *slow_search(facts, f.SQLITE_SEARCH),
        *too_large("Search keeps all embeddings", f.matrix_bytes(facts), facts),
    )
    return Option("sqlite", SecretStr(sqlite_url(facts.home)), reasons, objections, settings=_cache(facts))


def embedded(facts: Facts) -> Option:
    """On the PostgreSQL that diptych brings and starts: it takes whatever the others do not."""
    reasons = (
        "It is a PostgreSQL that diptych starts on this machine, for any number of its processes.",
        _index(facts),
    )
    to_do = tuple(install("embedded", facts))
    return Option("embedded", SecretStr(EMBEDDED), reasons, to_do=to_do, settings=_pool(facts))


def qdrant_folder(facts: Facts) -> Option:
    """On Qdrant's engine, in this process."""
    better = ("An embedded PostgreSQL takes several processes, and writes a batch as one transaction.",)
    url = f"qdrant://{facts.home.expanduser().absolute() / QDRANT_FOLDER}"
    return Option("qdrant_embedded", SecretStr(url), objections=(*better, *alone(facts)))


def file(facts: Facts) -> Option:
    """In files that are read into memory as a whole."""
    better = ("SQLite keeps the same in one file, need not read all of it, and takes several processes.",)
    size = too_large("It is all", f.truth_bytes(facts), facts)
    objections = (*better, *alone(facts), *size, *slow_search(facts, f.MEMORY_SEARCH))
    return Option("file", SecretStr(facts.home.expanduser().absolute().as_uri()), objections=objections)


#: In order of preference: the first without objections that is there is chosen.
TRUTHS: tuple[Callable[[Facts], Option], ...] = (in_memory, postgres, qdrant, sqlite, embedded, qdrant_folder, file)


def _index(facts: Facts) -> str:
    if facts.dimension > f.INDEXED_DIMENSIONS:
        return f"Beyond {f.INDEXED_DIMENSIONS:,} dimensions it has no vector index: a search looks at all of a tenant."
    return f"A search uses a vector index, so {facts.memories:,} memories are not looked at one by one."


def _writes(facts: Facts) -> str:
    return (
        f"A write takes about {f.SQLITE_WRITE * 1_000:.1f} ms, one at a time: {_busyness(facts):.1%} of the time for"
        f" {facts.writes_per_second:,.0f} a second."
    )


def _busy(facts: Facts) -> Iterator[str]:
    if _busyness(facts) > f.BUSIEST:
        yield (
            f"It has one writer at a time, {f.SQLITE_WRITE * 1_000:.1f} ms a write: {facts.writes_per_second:,.0f} a"
            f" second would take {_busyness(facts):.0%} of its time, more than {f.BUSIEST:.0%}."
        )


def _busyness(facts: Facts) -> float:
    return f.share(f.SQLITE_WRITE, facts.writes_per_second)


def _cache(facts: Facts) -> dict[str, str]:
    """Let the whole matrix stay in memory; what does not is read from the file at each search."""
    needed = math.ceil(f.matrix_bytes(facts) * f.CACHE_SLACK / f.MB)
    return {} if needed <= DEFAULT_CACHE_MB else {"DIPTYCH_SQLITE_CACHE_MB": str(needed)}


def _pool(facts: Facts) -> dict[str, str]:
    """Divide the server's connections among the processes, each of which has a pool for truth and one for the graph."""
    most = max(1, f.CONNECTIONS // (2 * facts.processes))
    return {} if most >= DEFAULT_POOL else {"DIPTYCH_POOL_SIZE": str(most)}
