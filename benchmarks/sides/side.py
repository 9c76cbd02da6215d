"""What every way of writing can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.workload import Item


class Side(Protocol):
    """One way to write memories into both stores."""

    @property
    def name(self) -> str:
        """The name in tables and results."""
        ...

    @property
    def late(self) -> int:
        """Memories so far that were not in both stores when the call had ended."""
        ...

    async def open(self) -> None:
        """Connect, and make tables and indexes anew."""
        ...

    async def close(self) -> None:
        """Remove what was made and disconnect."""
        ...

    async def empty(self) -> None:
        """Empty the table; the vector index stays. The graph keeps what it has: use another tenant."""
        ...

    async def ready(self, items: Sequence[Item]) -> Any:
        """Return the items in the form that ``store_many`` takes. What a side makes here costs it nothing."""
        ...

    async def store(self, ready: Any) -> None:
        """Write one memory, which was made ready alone, into both stores."""
        ...

    async def store_many(self, ready: Any) -> None:
        """Write many memories into both stores."""
        ...

    async def load(self, ready: Any) -> None:
        """Write many memories into an empty store whose vector index is built afterwards."""
        ...

    async def rest(self) -> None:
        """Wait until nothing goes on in the background."""
        ...

    async def counts(self, user_id: str) -> tuple[int, int, int]:
        """Count a tenant's rows, its memories in the graph, and the edges between entities."""
        ...
