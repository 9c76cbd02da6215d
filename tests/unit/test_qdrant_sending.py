"""How the requests of a change to a Qdrant server follow each other, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from persistence.errors import OutcomeUnknownError, PersistenceError, VectorStoreError, VectorStoreUnavailableError
from persistence.vector.qdrant.engine import Change, Point, Put, Remove, Upsert
from persistence.vector.qdrant.remote_sending import AT_ONCE, Request, send
from persistence.vector.qdrant.remote_values import in_turns
from persistence.vector.qdrant.terms import Is

ONE, TWO = Put([Is("live", 1)], {"digest": 1}), Remove([Is("live", 0)])


def upsert(points: int, dimension: int = 384) -> Upsert:
    vector = np.ones(dimension, dtype=np.float32)
    return Upsert([Point(str(number), {}, vector) for number in range(points)], [])


class Server:
    """Takes what it is sent when it is told to; what fails is said by the place of a request."""

    def __init__(self, failures: dict[int, PersistenceError] | None = None) -> None:
        self.failures = failures or {}
        self.seen: list[Request] = []
        self.under_way = self.most = 0

    async def put(self, request: Request) -> None:
        place = len(self.seen)
        self.seen.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # Everybody else goes as far as he can before this one is answered.
        for _ in range(5):
            await asyncio.sleep(0)
        self.under_way -= 1
        if place in self.failures:
            raise self.failures[place]


def turns(*changes: Change) -> list[list[list[Change]]]:
    return list(in_turns(changes))


def names(requests: Sequence[Request]) -> list[str]:
    return [
        point.id for request in requests for change in request if isinstance(change, Upsert) for point in change.points
    ]


async def test_a_large_upsert_goes_two_at_a_time() -> None:
    """Every point is sent once, in requests of bounded size, of which two are under way and never three."""
    server = Server()
    await send(turns(upsert(1_000)), server.put)
    assert sorted(names(server.seen), key=int) == [str(number) for number in range(1_000)]
    assert len(server.seen) == 4
    assert server.most == AT_ONCE == 2


async def test_what_depends_on_each_other_waits() -> None:
    """Changes are made one after another; small ones without an upsert share one request, which the server orders."""
    server = Server()
    await send(turns(upsert(3), ONE, upsert(2), TWO), server.put)
    assert server.most == 1
    assert [type(request[0]) for request in server.seen] == [Upsert, Put, Upsert, Remove]
    assert turns(ONE, TWO) == [[[ONE, TWO]]]


async def test_nothing_to_change() -> None:
    """No change is no request."""
    server = Server()
    await send(turns(), server.put)
    assert server.seen == []


@pytest.mark.parametrize("failing", range(4))
async def test_a_part_was_taken(failing: int) -> None:
    """Where one request of several failed and another was taken, the outcome is unknown, with the cause."""
    cause = VectorStoreUnavailableError("gone")
    server = Server({failing: cause})
    with pytest.raises(OutcomeUnknownError) as caught:
        await send(turns(upsert(1_000)), server.put)
    assert caught.value.__cause__ is cause
    assert len(server.seen) <= failing + 2


async def test_nothing_was_taken() -> None:
    """Where every request was refused, so is the write, after those that were under way; nothing more is sent."""
    server = Server({0: VectorStoreError("no"), 1: VectorStoreError("no")})
    with pytest.raises(VectorStoreError):
        await send(turns(upsert(1_000)), server.put)
    assert len(server.seen) == 2


async def test_one_refused_and_one_unknown() -> None:
    """A refusal does not hide that of another request nobody knows what became of it."""
    server = Server({0: VectorStoreError("no"), 1: OutcomeUnknownError("who knows")})
    with pytest.raises(OutcomeUnknownError, match="who knows"):
        await send(turns(upsert(1_000)), server.put)


async def test_a_later_change_after_one_that_was_taken() -> None:
    """A change that fails after another one was made leaves the outcome unknown too."""
    server = Server({1: VectorStoreError("no")})
    with pytest.raises(OutcomeUnknownError):
        await send(turns(upsert(1), ONE), server.put)
