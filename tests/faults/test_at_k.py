"""Every public operation with each of its calls on a store going wrong, one at a time, in four ways.

What has to hold whichever call it was: each memory is as it was or as it was to be; what is not the same in both stores
is listed; once all is quiet nothing is found; no task stays behind, and no lease of a single write.

`make faults` tries every call in every way on every pair of stores, and prints the tables; `make test` every call in
one way, in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, replace
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
from tests.faults.at_k.table import PROPERTY, Row, in_virtual_time, tried
from tests.faults.stores import GRAPHS, Stores

#: Left to `make faults`: more of what others do, too.
MORE = {"check, structure", "repair, structure", "repair, full", "repair, of a check"}
QUICK = [(one, True) for one in OPERATIONS if one.name not in MORE]
QUICK += [(one, False) for one in OPERATIONS if hasattr(AsyncPersistenceService, one.method)]
Record = Callable[[str, object], None]
Noted = Callable[[str, Row], None]
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


@pytest.fixture
def noted(record_property: Record) -> Noted:
    """Return what puts a row into a table of those that are printed at the end."""
    return lambda title, row: record_property(PROPERTY, [title, asdict(row)])


#: Each on stores of its own, so that what one leaves costs the others nothing.
each = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.mark.faults
@each
@pytest.mark.parametrize("registered", [True, False], ids=["registered", "projected"])
def test_each_call_goes_wrong_in_every_way(registered: bool, operation: Operation, noted: Noted) -> None:  # noqa: FBT001  # as above
    """In memory, in whichever way whichever call of an operation goes wrong: the same."""
    row = in_virtual_time(lambda: tried(operation, _place(registered)))
    noted(f"memory, and a {'registered' if registered else 'projected'} graph in memory", row)
    assert row.wrong == []


# --- where time is real -----------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of every deadline."""
    clock = Clock()
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (clock,))
    return clock


@pytest.mark.faults
@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.name in FEW], ids=str)
async def test_a_few_go_wrong_on_servers(operation: Operation, stores: Stores, clock: Clock) -> None:
    """On PostgreSQL and Neo4j, whichever call of a write or of a rebuild goes wrong: the same."""
    place = on(stores, clock)
    assert (await tried(operation, lambda: place, quick=True)).wrong == []


@pytest.mark.faults
@each
@pytest.mark.parametrize("stores", GRAPHS, indirect=True, ids=str)
async def test_on_servers(operation: Operation, stores: Stores, clock: Clock, noted: Noted) -> None:
    """On PostgreSQL and Neo4j, or PostgreSQL alone, in whichever way whichever call goes wrong: the same."""
    await _tried(operation, on(stores, clock), f"{stores.vector().kind}, {stores.graph().kind}", noted)


@pytest.mark.faults
@each
async def test_in_files(operation: Operation, tmp_path: Path, clock: Clock, noted: Noted) -> None:
    """With truth and graph in files: the same."""
    await _tried(operation, in_files(tmp_path, clock), "files", noted)


@pytest.mark.faults
@each
async def test_on_sqlite_and_memory(operation: Operation, tmp_path: Path, clock: Clock, noted: Noted) -> None:
    """With truth in SQLite and a graph in memory: the same."""
    place = beside_memory(lambda: SqliteStore(tmp_path / "truth.db"), clock)
    await _tried(operation, place, "sqlite, memory", noted)


@pytest.mark.faults
@each
async def test_on_qdrant_and_memory(operation: Operation, tmp_path: Path, clock: Clock, noted: Noted) -> None:
    """With truth in Qdrant's engine and a graph in memory: the same."""
    engine = EmbeddedEngine(tmp_path / "qdrant")
    await engine.open()
    place = beside_memory(lambda: QdrantStore(engine), clock)
    await _tried(operation, place, "qdrant embedded, memory", noted)
    await engine.close()


async def _tried(operation: Operation, place: Place, title: str, noted: Noted) -> None:
    row = await tried(operation, lambda: place)
    noted(title, row)
    assert row.wrong == []


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
