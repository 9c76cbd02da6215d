"""The stores as a process of the simulated world sees them: over a network, which may do what networks do.

A call is a request, which is done at one moment in the store, and an answer. The request may never arrive, or arrive
when its caller has given up or died; the answer may be lost, or late.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from persistence.errors import (
    GraphConflictError,
    GraphStoreError,
    GraphUnavailableError,
    OutcomeUnknownError,
    PersistenceError,
    VectorStoreConflictError,
    VectorStoreUnavailableError,
)
from persistence.graph.memory import MemoryGraph
from persistence.ports.capabilities import OF_GRAPHS, Capability
from persistence.ports.graph import GraphWrite
from persistence.vector.memory import MemoryStore
from tests.faults.simulator.clocks import at_once
from tests.faults.simulator.faults import OPERATION, Fault, Faults, Plan
from tests.faults.simulator.loop import Loop
from tests.faults.simulator.trace import Trace

#: Calls on truth that change nothing, so that a lost answer is no unknown outcome.
READS = frozenset({
    "ping", "info", "read", "page", "search", "count", "changes", "pending", "outbox_stats", "outbox_page", "next_due",
    "tombstones_due", "resolve", "bucket_sums", "bucket_rows", "standings", "walk", "run", "runs", "last_checks",
    "run_totals", "inconsistencies",
})  # fmt: skip


class SharedGraph(MemoryGraph):
    """A graph in memory that outlives every process of the simulated world, so that truth may register it."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return OF_GRAPHS


class Server:
    """A store on the other side of the network: whether it is down, and what it does with a request."""

    def __init__(self, side: str, loop: Loop, trace: Trace) -> None:
        self.side = side
        self.loop = loop
        self.down_until = 0.0
        self._trace = trace
        self._context = Context()

    @property
    def down(self) -> bool:
        return self.loop.time() < self.down_until

    def serve(self, name: str, request: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        """Do what is asked for, now; whoever waits for the answer gets it, unless there is nobody any more."""
        try:
            result = request()
        except Exception as error:  # noqa: BLE001  # it is the answer
            self._trace.add(self.side, name, type(error).__name__)
            if not answer.done():
                answer.set_exception(error)
                answer.exception()
        else:
            self._trace.add(self.side, name, "done")
            if not answer.done():
                answer.set_result(result)

    def serve_at(self, delay: float, name: str, request: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        """Do it later, whatever becomes of who asked."""
        self.loop.call_later(delay, self.serve, name, request, answer, context=self._context)


class Remote:
    """An adapter of one process: every call of the port goes over the network."""

    def __init__(self, inner: Any, server: Server, faults: Faults) -> None:
        self._inner = inner
        self._server = server
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(value):
            return value
        call = self._close if name == "close" else partial(self._call, name, value)
        self.__dict__[name] = call
        return call

    async def _close(self) -> None:
        """Close the connection, which asks nobody."""
        at_once(self._inner.close())

    def _request(self, name: str, method: Any, args: Any, named: Any) -> Callable[[], Any]:  # noqa: ARG002  # for others
        return lambda: at_once(method(*args, **named))

    async def _call(self, name: str, method: Any, *args: Any, **named: Any) -> Any:
        plan, server = self._faults.draw(name), self._server
        request = self._request(name, method, args, named)
        answer = server.loop.create_future()
        if plan.fault is Fault.NONE or plan.fault is Fault.AFTER:
            await asyncio.sleep(plan.there)
            if server.down:
                raise self._error(Fault.BEFORE, name)
            server.serve(name, request, answer)
            await asyncio.sleep(plan.back)
            if plan.fault is Fault.AFTER and answer.exception() is None:
                raise self._error(Fault.AFTER, name)
            return answer.result()
        return await self._go_wrong(plan, name, request, answer)

    async def _go_wrong(self, plan: Plan, name: str, request: Callable[[], Any], answer: asyncio.Future[Any]) -> Any:
        server = self._server
        await asyncio.sleep(0)
        if plan.fault in {Fault.BEFORE, Fault.CONFLICT}:
            raise self._error(plan.fault, name)
        if plan.fault is Fault.LOST:
            return await answer
        if plan.fault is Fault.ZOMBIE:
            server.serve_at(plan.there, name, request, server.loop.create_future())
            return await answer
        server.serve_at(plan.there, name, request, answer)
        result = await answer
        await asyncio.sleep(plan.back)
        return result

    def _error(self, fault: Fault, name: str) -> PersistenceError:
        raise NotImplementedError


class RemoteTruth(Remote):
    """Truth over the network. ``origin``: which operation made which write."""

    def __init__(self, inner: MemoryStore, server: Server, faults: Faults, origin: dict[str, int]) -> None:
        super().__init__(inner, server, faults)
        self._origin = origin

    def _request(self, name: str, method: Any, args: Any, named: Any) -> Callable[[], Any]:
        if name in {"write", "write_many", "delete_many"}:
            for one in [args[0]] if name == "write" else args[0]:
                self._origin[str(one.write_id)] = OPERATION.get()
        return super()._request(name, method, args, named)

    def _error(self, fault: Fault, name: str) -> PersistenceError:
        if fault is Fault.CONFLICT and name not in READS:
            return VectorStoreConflictError()
        if fault is Fault.AFTER and name not in READS:
            return OutcomeUnknownError()
        return VectorStoreUnavailableError()


class RemoteGraph(Remote):
    """The graph over the network. ``poisoned``: memories that it cannot write, for a while."""

    def __init__(self, inner: SharedGraph, server: Server, faults: Faults, poisoned: set[tuple[str, str]]) -> None:
        super().__init__(inner, server, faults)
        self._poisoned = poisoned

    def _request(self, name: str, method: Any, args: Any, named: Any) -> Callable[[], Any]:
        if name not in {"apply", "clear"}:
            return super()._request(name, method, args, named)
        writes: Sequence[GraphWrite] = args[0] if name == "apply" else ()
        # A write that was sent is refused by the graph's own clock, whenever it arrives.
        not_after = self._server.loop.time() + named["timeout"]

        def request() -> Any:
            if any((write.user_id, write.id) in self._poisoned for write in writes):
                raise GraphStoreError("The graph cannot write one of these.")
            return at_once(method(*args, **{**named, "timeout": not_after - self._server.loop.time()}))

        return request

    def _error(self, fault: Fault, name: str) -> PersistenceError:  # noqa: ARG002  # all of them alike
        return GraphConflictError() if fault is Fault.CONFLICT else GraphUnavailableError()
