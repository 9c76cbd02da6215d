"""What changes the tables of a store from one version of the code to the next, so that old and new run side by side.

A schema grows by numbered steps, each of a phase. A ``pre`` step only adds: the code before it goes on as it did, and
the code after it needs it. A ``post`` step takes away what only the code before it needed; it waits until the last
process of that code has gone, and the code after it does without it. So a store whose tables are ahead of the code is
usable as long as every step that the code does not know is a ``pre`` one; so is one that lacks only ``post`` steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple, Protocol

from persistence.errors import ConfigurationError


class Phase(StrEnum):
    """When a step may be applied: before the new code comes, or after the old has gone."""

    PRE = "pre"
    POST = "post"


#: For when no process of older code is left, or there never was one.
BOTH = (Phase.PRE, Phase.POST)


class Step(NamedTuple):
    """A step of a schema."""

    version: int
    name: str
    phase: Phase

    def __str__(self) -> str:
        return f"{self.version} ({self.name}, {self.phase})"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The version that is there, 0 where there is none; the one that the code knows; what lies between them.

    ``pending``: steps that are not applied, in their order. ``newer``: steps applied that the code does not know.
    """

    version: int
    known: int
    pending: tuple[Step, ...] = ()
    newer: tuple[Step, ...] = ()

    @property
    def lacking(self) -> bool:
        """Whether the code needs a step that is not applied."""
        return any(step.phase is Phase.PRE for step in self.pending)

    @property
    def too_new(self) -> bool:
        """Whether a step was applied that takes something away which the code needs."""
        return any(step.phase is Phase.POST for step in self.newer)

    @property
    def usable(self) -> bool:
        """Whether the code can work with it as it is."""
        return not self.lacking and not self.too_new

    def due(self, phases: Collection[Phase]) -> tuple[Step, ...]:
        """Return the pending steps that can be applied now: in their order, up to the first of another phase."""
        return tuple(takewhile(lambda step: step.phase in phases, self.pending))


def state_of(applied: Sequence[Step], known: Sequence[Way]) -> SchemaState:
    """Return the state of a store in which these steps were applied."""
    version, newest = max((step.version for step in applied), default=0), known[-1].version
    pending = tuple(Step(one.version, one.name, one.phase) for one in known if one.version > version)
    return SchemaState(version, newest, pending, tuple(step for step in applied if step.version > newest))


class Way(Protocol):
    """A step with what it does, and what takes it back, None where nothing does."""

    @property
    def version(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def back(self) -> bytes | None: ...


def refuse_one_way(found: SchemaState, going: Sequence[Way], to: int) -> None:
    """Refuse what cannot be taken back. Raises ConfigurationError."""
    if found.newer:
        raise ConfigurationError(
            f"The schema has the step {found.newer[-1]}, which this diptych does not know.",
            hint="take it back by the diptych that applied it",
        )
    if to < 0 or to > found.version:
        raise ConfigurationError(f"The schema is at version {found.version}, so it cannot go back to {to}.")
    fixed = next((step for step in going if step.back is None), None)
    if fixed is not None:
        step = Step(fixed.version, fixed.name, fixed.phase)
        raise ConfigurationError(
            f"There is no way back from the step {step} of the schema; nothing was changed.",
            hint="restore a backup that was made before it: diptych restore",
        )


def state_without_steps(version: int, known: int, needs: int) -> SchemaState:
    """Return the state of a store that has no steps of ours; ``needs``: the least that code must know to use it."""
    pending = (Step(known, "all", Phase.PRE),) if version < known else ()
    phase = Phase.POST if needs > known else Phase.PRE
    return SchemaState(version, known, pending, (Step(version, "newer", phase),) if version > known else ())


class Schema(Protocol):
    """The tables of one store."""

    async def state(self) -> SchemaState:
        """Say what is there. Changes nothing."""
        ...

    async def apply(self, phases: Collection[Phase]) -> Sequence[Step]:
        """Apply the steps of these phases that are due, each once however many processes try; return those applied.

        What was cut short goes on where it was. Raises ConfigurationError, the store's errors.
        """
        ...

    async def revert(self, to: int) -> Sequence[Step]:
        """Take steps back, the newest first, down to a version; return those taken back. Raises ConfigurationError."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """The schema of a store that makes it all at once when it is opened, by steps of nobody's to see."""

    find: Callable[[], Awaitable[SchemaState]]

    async def state(self) -> SchemaState:
        return await self.find()

    async def apply(self, phases: Collection[Phase]) -> Sequence[Step]:  # noqa: ARG002  # a schema's way to be asked
        return ()

    async def revert(self, to: int) -> Sequence[Step]:  # noqa: ARG002  # a schema's way to be asked
        raise ConfigurationError("This store has no steps that could be taken back.")
