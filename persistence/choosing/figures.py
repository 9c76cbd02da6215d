"""The figures that decide, and where they come from. Measured on two cores; another machine is not ten times another.

Search is worked out as if all memories were one tenant's, which is the worst that can be: no store looks at others.
"""

from __future__ import annotations

from persistence.choosing.facts import Facts

#: Seconds of an exact search for each number of each embedding. In memory: 26 ms for 10,000 memories of 384.
MEMORY_SEARCH = 0.026 / (10_000 * 384)
#: In a SQLite file: 3 to 8 ms for 20,000 memories of 384; the matrix is kept in memory.
SQLITE_SEARCH = 0.008 / (20_000 * 384)
#: Seconds of a single write into a SQLite file; there is one writer at a time, whatever the number of processes.
SQLITE_WRITE = 0.0006
#: Bytes of a memory in the memory of a process, its embedding apart: 2,000 for 500 characters of content.
MEMORY_BYTES = 2_000
#: Bytes of its fragment in a graph in memory: 1,970 for three entities and two relationships.
FRAGMENT_BYTES = 2_000
#: A matrix takes a little more than its numbers.
CACHE_SLACK = 1.1
#: Dimensions up to which pgvector has an index.
INDEXED_DIMENSIONS = 4_000

#: Not measured but decided: how long a search may take,
SLOWEST_SEARCH = 0.1
#: how much of a second all searches, or all writes, of a second may take,
BUSIEST = 0.5
#: how much of the machine's memory a store may take,
MOST_RAM = 0.25
#: and how many connections of a PostgreSQL (100 by default) all processes may take together.
CONNECTIONS = 80

MB = 1_000_000


def matrix_bytes(facts: Facts) -> int:
    """Return what the embeddings take."""
    return facts.memories * facts.dimension * 4


def truth_bytes(facts: Facts) -> int:
    """Return what a truth in memory takes."""
    return matrix_bytes(facts) + facts.memories * MEMORY_BYTES


def graph_bytes(facts: Facts) -> int:
    """Return what a graph in memory takes."""
    return facts.memories * FRAGMENT_BYTES


def fits(size: int, facts: Facts) -> bool:
    """Say whether so much may be taken of the machine's memory."""
    return size <= facts.ram_bytes * MOST_RAM


def share(seconds: float, per_second: float) -> float:
    """Return how much of each second goes into something that takes ``seconds`` and comes so often."""
    return seconds * per_second
