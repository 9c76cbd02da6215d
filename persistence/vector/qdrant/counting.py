"""Counts that end: Qdrant knows no limit for a count, but about how many points a filter matches it says at once."""

from __future__ import annotations

from persistence.results import Count
from persistence.vector.qdrant.engine import Engine
from persistence.vector.qdrant.terms import Terms

#: How far above the bound an estimate has to be before it stands for the number: it may well be wrong by a half.
_CLEARLY = 2


async def bounded(engine: Engine, collection: str, where: Terms, bound: int) -> Count:
    """Count points exactly up to the bound; where there are clearly more, return the estimate."""
    about = await engine.count(collection, where, exact=False)
    if about > _CLEARLY * bound:
        return Count(about, exact=False)
    counted = await engine.count(collection, where)
    return Count(counted, exact=counted <= bound)
