"""What a store may lack and still be of use: each capability says what to rely on, and what happens without it.

What is not listed here every store has, whatever it is: a memory and its outbox entry are written as one, no stale
writer wins, a tenant is a wall, no commit is missed by whoever follows the changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Capability(StrEnum):
    """One thing that a store can do. ``promise``: what it means to have it; ``without``: what happens where it is not.

    Both are the member's docstring, too, and make the table in docs/reference/capabilities.md.
    """

    promise: str
    without: str

    def __new__(cls, value: str, promise: str, without: str) -> Self:
        """Make a member whose docstring says both sides."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.promise, member.without = promise, without
        member.__doc__ = f"{promise} Without it: {without}"
        return member

    DURABLE = (
        "durable",
        "What was acknowledged outlives the process, however that ends.",
        "everything in it is gone with the process; each makes a graph anew, and a check has no copy to compare.",
    )
    SHARED = (
        "shared",
        "Several processes use the store at once, and each sees what the others wrote.",
        "a second process is refused, or has a store of its own.",
    )
    ATOMIC_BATCH = (
        "atomic_batch",
        "A call with many memories is one transaction: all of them are written, or none is.",
        "a call that fails in the middle leaves some memories written, each whole and with its outbox entry.",
    )
    SNAPSHOT_READS = (
        "snapshot_reads",
        "A call that reads many memories sees all of them at one moment.",
        "a read beside a batch may see some memories before it and some after it, each of them whole.",
    )
    VECTOR_INDEX = (
        "vector_index",
        "A search by meaning does not look at every memory of the tenant, and is approximate.",
        "a search looks at every memory of the tenant, and is exact.",
    )
    AGGREGATES = (
        "aggregates",
        "A check sums up in the store; only where sums differ are rows read.",
        "a check reads every row, without content.",
    )


#: Their absence costs a guarantee, so users are told when the service is opened; that of the others costs speed.
GUARANTEES = frozenset({Capability.DURABLE, Capability.SHARED, Capability.ATOMIC_BATCH, Capability.SNAPSHOT_READS})
#: What can be said of a graph. It is read memory by memory, under locks where it matters, and not searched by meaning.
OF_GRAPHS = frozenset({Capability.DURABLE, Capability.SHARED, Capability.ATOMIC_BATCH, Capability.AGGREGATES})


def untold(capabilities: frozenset[Capability], asked: frozenset[Capability]) -> list[Capability]:
    """Return the guarantees among those asked for that a store lacks, in the order above.

    What dies with its process is shared with no other one: that goes without saying.
    """
    silent = frozenset() if Capability.DURABLE in capabilities else {Capability.SHARED}
    lost = (asked & GUARANTEES) - capabilities - silent
    return [one for one in Capability if one in lost]
