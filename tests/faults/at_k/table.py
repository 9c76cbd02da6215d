"""Operations times calls times ways on one place, and the table of what came of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults.at_k.calls import Way
from tests.faults.at_k.case import Case, sentences
from tests.faults.at_k.operations import OPERATIONS, Operation
from tests.faults.at_k.places import Place
from tests.faults.simulator.clocks import EPOCH, simulated
from tests.faults.simulator.loop import Loop
from tests.faults.simulator.run import quietly

T = TypeVar("T")

#: The name under which a test's report has its row.
PROPERTY = "at_k"
#: A number for each case, so that each has tenants of its own.
_NUMBERS = itertools.count(1)


@dataclass
class Row:
    """An operation on a place: how many calls it makes, how many cases that made, and what is wrong with them.

    ``waits``: after so many of them the relay has to wait for a lease.
    """

    name: str
    calls: int = 0
    cases: int = 0
    waits: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"| {self.name} | {self.calls} | {self.cases} | {self.waits} | {len(self.wrong)} |"


async def tried(operation: Operation, place: Callable[[], Place], *, quick: bool = False) -> Row:
    """Count an operation's calls, then let each of them go wrong in each way; ``quick``: in one way each, in turn."""
    whole = await Case(operation, place(), next(_NUMBERS)).run()
    row = Row(operation.name, len(whole.calls.names), wrong=sentences([whole]))
    if whole.error is not None:
        row.wrong.append(f"{operation.name}: with nothing wrong it raised {whole.error!r}")
    for at, (turn, way) in itertools.product(range(1, row.calls + 1), enumerate(Way)):
        if quick and (at + OPERATIONS.index(operation)) % len(Way) != turn:
            continue
        row.cases += 1
        case = await Case(operation, place(), next(_NUMBERS), at, way).run(whole.new)
        row.waits += case.waits
        row.wrong += sentences([case])
    return row


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    """Run where time costs nothing; what nobody has seen go wrong there is an error."""

    def run() -> T:
        loop = Loop(seed, EPOCH)
        with simulated(loop, seed):
            answer = loop.run(work())
        assert loop.complaints() == []
        return answer

    with quietly():
        return copy_context().run(run)


def shown(title: str, rows: Sequence[Row]) -> str:
    """Return the table."""
    every = [wrong for row in rows for wrong in row.wrong]
    calls, cases, waits = (sum(getattr(row, name) for row in rows) for name in ("calls", "cases", "waits"))
    head = [f"\n{title}", "| operation | calls | cases | leases run out | violations |", "| --- " * 5 + "|"]
    return "\n".join([*head, *map(str, [*rows, Row("all of them", calls, cases, waits, every)]), ""])


def tables(properties: Iterable[tuple[str, Any]]) -> list[str]:
    """Return a table of each pair of stores that tests noted a row of."""
    noted: dict[str, list[Row]] = defaultdict(list)
    for name, value in properties:
        if name == PROPERTY:
            title, row = value
            noted[title].append(Row(**row))
    return [shown(title, rows) for title, rows in noted.items()]
