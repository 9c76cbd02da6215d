"""Every public operation with each of its calls on a store going wrong, one at a time, in four ways.

What has to hold whichever call it was: each memory is as it was or as it was to be; what is not the same in both stores
is listed; once all is quiet nothing is found; no task stays behind, and no lease of a single write.

`make faults` tries every call in every way on every pair of stores, and prints the tables; `make test` every call in
one way, in memory, and a few operations on servers.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, Key
from persistence.retry import Deadline
from persistence.vector.memory import MemoryStore
from persistence.vector.memory.state import Place as Where
from persistence.vector.memory.state import Table
from persistence.vector.qdrant import QdrantStore
from persistence.vector.qdrant.embedded import EmbeddedEngine
from persistence.vector.sqlite import SqliteStore
from sync import AsyncSyncService
from tests.faults.at_k.operations import NONE_OF_THEM, OPERATIONS, Operation
from tests.faults.at_k.places import Clock, Place, beside_memory, in_files, in_memory, on
from tests.faults.at_k.table import in_virtual_time, shown, tried
from tests.faults.stores import GRAPHS, Stores

#: Left to `make faults`: more of what others do, too.
MORE = {"check, structure", "repair, structure", "repair, full", "repair, of a check"}
QUICK = [(one, True) for one in OPERATIONS if one.name not in MORE]
QUICK += [(one, False) for one in OPERATIONS if hasattr(AsyncPersistenceService, one.method)]
#: Tried in `make test` on servers, too.
FEW = ("store, replace", "store_many", "delete")


def _names(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_every_public_operation_is_tried() -> None:
    """An operation that is new on either service has to have a row of its own."""
    public = _names(AsyncPersistenceService) | _names(AsyncSyncService)
    assert public - NONE_OF_THEM == {operation.method for operation in OPERATIONS} - {"erase"}


def _place(registered: bool) -> Callable[[], Place]:  # noqa: FBT001  # a parameter of the tests
    return lambda: in_memory(registered=registered)


@pytest.mark.parametrize(
    ("operation", "registered"), QUICK, ids=[f"{one}, {'registered' if own else 'projected'}" for one, own in QUICK]
)
def test_each_call_goes_wrong_in_one_way(operation: Operation, registered: bool) -> None:  # noqa: FBT001  # as above
    """In memory, whichever call of an operation goes wrong: nothing is lost, unseen or left behind."""
    assert in_virtual_time(lambda: tried(operation, _place(registered), quick=True)).wrong == []


@pytest.mark.faults
@pytest.mark.parametrize("registered", [True, False], ids=["registered", "projected"])
def test_each_call_goes_wrong_in_every_way(registered: bool) -> None:  # noqa: FBT001  # as above
    """In memory, in whichever way whichever call of an operation goes wrong: the same."""
    rows = [in_virtual_time(lambda one=one: tried(one, _place(registered))) for one in OPERATIONS]  # type: ignore[misc]  # mypy does not infer a default
    sys.stdout.write(shown(f"memory, and a {'registered' if registered else 'projected'} graph in memory", rows))
    assert [wrong for row in rows for wrong in row.wrong] == []


# --- where time is real -----------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of every deadline."""
    clock = Clock()
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (clock,))
    return clock


async def _all(title: str, place: Place, operations: Sequence[Operation] = OPERATIONS, *, quick: bool = False) -> None:
    rows = [await tried(operation, lambda: place, quick=quick) for operation in operations]
    sys.stdout.write(shown(title, rows))
    assert [wrong for row in rows for wrong in row.wrong] == []


@pytest.mark.faults
async def test_a_few_go_wrong_on_servers(stores: Stores, clock: Clock) -> None:
    """On PostgreSQL and Neo4j, whichever call of a write or of a rebuild goes wrong: the same."""
    await _all("pgvector, neo4j", on(stores, clock), [one for one in OPERATIONS if one.name in FEW], quick=True)


@pytest.mark.faults
@pytest.mark.parametrize("stores", GRAPHS, indirect=True, ids=str)
async def test_on_servers(stores: Stores, clock: Clock) -> None:
    """On PostgreSQL and Neo4j, or PostgreSQL alone, in whichever way whichever call goes wrong: the same."""
    await _all(f"{stores.vector().kind}, {stores.graph().kind}", on(stores, clock))


@pytest.mark.faults
async def test_in_files(tmp_path: Path, clock: Clock) -> None:
    """With truth and graph in files: the same."""
    await _all("files", in_files(tmp_path, clock))


@pytest.mark.faults
async def test_on_sqlite_and_memory(tmp_path: Path, clock: Clock) -> None:
    """With truth in SQLite and a graph in memory: the same."""
    await _all("sqlite, memory", beside_memory(lambda: SqliteStore(tmp_path / "truth.db"), clock))


@pytest.mark.faults
async def test_on_qdrant_and_memory(tmp_path: Path, clock: Clock) -> None:
    """With truth in Qdrant's engine and a graph in memory: the same."""
    engine = EmbeddedEngine(tmp_path / "qdrant")
    await engine.open()
    await _all("qdrant embedded, memory", beside_memory(lambda: QdrantStore(engine), clock))
    await engine.close()


# --- what would be seen ----------------------------------------------------------------------------------------------


class _Unlisted(MemoryStore):
    """A truth that forgets to list what it writes."""

    async def write(self, write: Any, *args: Any, **named: Any) -> Any:
        receipt = await super().write(write, *args, **named)
        self._storage.state.apply({Where(Table.OUTBOX, Key(write.user_id, write.id)): None})
        return receipt


class _Keeping(MemoryStore):
    """A truth where leases cannot be given back."""

    async def release(self, *_: Any, **__: Any) -> Any:
        return []


class _Torn(MemoryStore):
    """A truth that writes a batch item by item, and changes what is not asked for."""

    async def write(self, write: Any, *args: Any, **named: Any) -> Any:
        return await super().write(replace(write, content=f"{write.content}!"), *args, **named)


@pytest.mark.parametrize(
    ("defect", "sentence"),
    [(_Unlisted, "listed nowhere"), (_Keeping, "a lease is left behind"), (_Torn, "neither old nor new")],
    ids=["unlisted", "lease", "torn"],
)
def test_a_defect_shows(defect: type[MemoryStore], sentence: str) -> None:
    """The table sees a write that is not listed, a lease that is kept, and a state that nobody asked for."""
    (operation,) = [one for one in OPERATIONS if one.name == "store, replace"]

    places = itertools.count()

    def place() -> Place:
        well, opened, first = in_memory(registered=True), itertools.count(), next(places) == 0
        # The first case says how it is to be; of the others the second service is the one that goes wrong.
        return replace(well, vector=lambda: _worse(well.vector(), defect if next(opened) == 1 and not first else None))

    wrong = in_virtual_time(lambda: tried(operation, place)).wrong
    assert any(sentence in one for one in wrong), wrong


def _worse(truth: MemoryStore, defect: type[MemoryStore] | None) -> MemoryStore:
    return truth if defect is None else defect(truth._storage)
