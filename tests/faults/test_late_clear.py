"""What a rebuild that was stopped empties late must not be what its successor has filled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persistence.errors import GraphWriteExpiredError, LeaseLostError
from sync import AsyncSyncService
from tests.faults.drifts import fill
from tests.faults.proxies import Hooked
from tests.faults.stores import ALICE, GRAPHS, Stores
from tests.faults.sync_child import LEASE


class Delayed:
    """The network between a graph's adapter and its server: what is sent is held back until ``go``, whoever gave up."""

    def __init__(self, graph: Any) -> None:
        self._owner, self._name = (graph._connection, "run") if graph.kind == "neo4j" else (graph, "_row")
        self._send = getattr(self._owner, self._name)
        self.sent, self.go = asyncio.Event(), asyncio.Event()
        self.arrival: asyncio.Task[Any] | None = None

    def begin(self, _: int) -> None:
        """Hold back the next statement."""
        setattr(self._owner, self._name, self._delay)

    async def _delay(self, *args: Any, **kwargs: Any) -> Any:
        setattr(self._owner, self._name, self._send)
        self.arrival = asyncio.create_task(self._arrive(*args, **kwargs))
        self.sent.set()
        return await asyncio.shield(self.arrival)

    async def _arrive(self, *args: Any, **kwargs: Any) -> Any:
        await self.go.wait()
        return await self._send(*args, **kwargs)

    async def answer(self) -> Any:
        """Let it arrive; return what the server says."""
        self.go.set()
        assert self.arrival is not None
        return await self.arrival


@pytest.mark.parametrize("stores", GRAPHS, indirect=True)
async def test_a_stopped_rebuilds_clear_comes_too_late(stores: Stores) -> None:
    """I2: a clear that arrives when its rebuild's lease is over is refused by the graph: what was filled since stays.

    Guards: ``Journal.held_for`` as the clear's time, and the comparison with ``not_after`` in the graph.
    """
    truth, graph = Hooked(stores.vector()), Hooked(stores.graph())
    delayed = Delayed(graph.inner)
    on = asyncio.Event()

    def stop(number: int) -> None:
        """Stop: nothing more is sent, and no lease kept alive, until it goes on."""
        if number == 1:
            truth.before["renew_run"] = truth.before["save_run"] = lambda _: on.wait()
            delayed.begin(number)

    graph.before["clear"] = stop
    async with (
        stores.service(vector=truth, graph=graph, run_lease=LEASE) as stopped,
        stores.service() as memories,
    ):
        await fill(memories, (ALICE,), 20)
        first = asyncio.create_task(AsyncSyncService(stopped).rebuild_graph(user_id=ALICE, clear_existing=True))
        await delayed.sent.wait()
        report = await AsyncSyncService(memories).rebuild_graph(user_id=ALICE, clear_existing=True)
        assert (report.complete, report.memories) == (True, 20)
        if graph.kind == "neo4j":
            assert await delayed.answer() == []
        else:
            with pytest.raises(GraphWriteExpiredError):
                await delayed.answer()
        on.set()
        with pytest.raises(LeaseLostError):
            await first
    await stores.assert_in_step()
