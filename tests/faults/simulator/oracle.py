"""What must hold at every instant, seen from beside the stores: rules I1 to I5, I7 and I9 of the design.

Truth's history is what its storage really did, change by change; the oracle asks of each change who may have made it,
and of each acknowledgement whether it is in that history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from persistence.ports.outbox import Key
from persistence.vector.memory.rows import Row
from tests.faults.simulator.ports import SharedGraph

Part = tuple[str, str, str]


class Fact(NamedTuple):
    """What truth had of a memory from one moment on. ``parts`` None: a tombstone; version None: nothing at all."""

    at: int
    version: int | None
    parts: Part | None


@dataclass(slots=True)
class Intent:
    """What one operation may do to one memory. ``parts``: what it sets; None in them: stays. All None: it deletes.

    ``keeps``: it writes only where nothing is. ``undoable``: rollback mode. ``expected``: the version that it replaces.
    """

    operation: int
    key: Key
    parts: tuple[str | None, str | None, str | None]
    deletes: bool = False
    keeps: bool = False
    undoable: bool = False
    expected: int | None = None
    refused: bool = False
    acknowledged: bool = False
    undone: bool = False
    wrote: list[int] = field(default_factory=list)
    made: list[int] = field(default_factory=list)

    def fits(self, before: Fact, after: Fact) -> bool:
        """Say whether it may have made ``after`` out of ``before``."""
        if self.deletes or after.parts is None:
            return self.deletes and after.parts is None
        if self.keeps and before.version is not None:
            return False
        if None in self.parts and before.parts is None:
            return False
        old = before.parts or ("", "", "")
        wanted = tuple(o if new is None else new for o, new in zip(old, self.parts, strict=True))
        return wanted == after.parts


NOTHING = Fact(0, None, None)


class ViolationError(AssertionError):
    """A rule was broken."""


@dataclass
class Oracle:
    """The rules, and what is known. ``damaged``: memories that the world itself has damaged in the graph."""

    graph: SharedGraph
    clock: Any = None
    state: Any = None
    events: int = 0
    facts: dict[Key, list[Fact]] = field(default_factory=dict)
    intents: dict[Key, list[Intent]] = field(default_factory=dict)
    high: dict[Key, int] = field(default_factory=dict)
    damaged: dict[Key, str] = field(default_factory=dict)
    emptied: dict[str, UUID] = field(default_factory=dict)
    orphans: set[Key] = field(default_factory=set)
    windows: dict[Key, list[list[int]]] = field(default_factory=dict)
    sweeping: dict[int, str] = field(default_factory=dict)
    origin: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def broke(self, rule: str, sentence: str) -> None:
        """Note that a rule was broken. The first is what the run is told by; more are rarely seen."""
        self.broken.append(f"{rule}: {sentence}")

    # --- truth ------------------------------------------------------------------------------------------------------

    def history(self, key: Key) -> list[Fact]:
        return self.facts.get(key) or [NOTHING]

    def truth_changed(self, key: Key) -> None:
        """Judge what truth has of a memory now."""
        tenant = self.state.tenant(key.user_id)
        row, grave = tenant.memories.get(key.id), tenant.tombstones.get(key.id)
        history = self.facts.setdefault(key, [NOTHING])
        before = history[-1]
        here = row or grave
        after = Fact(self.events, here.version if here else None, _parts(row) if row else None)
        if (after.version, after.parts) == (before.version, before.parts):
            return
        history.append(after)
        if after.version is None:
            if before.parts is not None:
                self.broke("I1", f"truth lost {key} without a tombstone")
            return
        if after.version <= max((fact.version or 0 for fact in history[:-1]), default=0):
            self.broke("versions", f"{key} went from {before.version} to {after.version}")
        self._judge(key, before, after, self.origin.get(here.write_id) if here else None)

    def _judge(self, key: Key, before: Fact, after: Fact, operation: int | None) -> None:
        """Whoever made this change must have meant it."""
        for intent in self.intents.get(key, []):
            if intent.operation == operation and intent.fits(before, after):
                again = before.at in intent.made  # above the graph
                intent.wrote.append(before.at)
                intent.made.append(after.at)
                if intent.expected not in {None, before.version} and not again:
                    self.broke("versions", f"operation {operation} expected {intent.expected} of {key}: {before}")
                if intent.refused:
                    self.broke("I7", f"operation {operation} said that it did not happen; then it wrote {key}")
                return
        swept = key in self.orphans or self.sweeping.get(-1 if operation is None else operation) == key.user_id
        if self._undoes(key, before, after, operation) or (after.parts is None and swept):
            return
        if after.parts != before.parts:  # else it was written anew, above the graph
            self.broke("I1", f"operation {operation} made {after} of {key}, which was {before}")

    def _undoes(self, key: Key, before: Fact, after: Fact, operation: int | None) -> bool:
        """Say whether a change puts back what was there before the operation wrote."""
        history = self.history(key)
        for intent in self.intents.get(key, []):
            if intent.operation == operation and intent.undoable and before.at in intent.made:
                intent.undone = True
                first = next(fact for fact in history if fact.at == intent.wrote[0])
                return after.parts == first.parts and not intent.acknowledged
        return False

    # --- the graph against truth --------------------------------------------------------------------------------------

    def differs(self, key: Key) -> bool:
        """Say whether the graph has something else than truth of a memory: what heads show."""
        tenant = self.graph._tenants.get(key.user_id)
        node = tenant.memories.get(key.id) if tenant else None
        row = self.state.tenant(key.user_id).memories.get(key.id)
        if row is None:
            return node is not None and node.fragment is not None
        return (
            node is None or node.fragment is None or node.version != row.version or node.fragment.digest != row.digest
        )

    def look(self, key: Key) -> None:
        """See to rule I2 for one memory, after something happened to it on either side."""
        damage = self.damaged.get(key)
        differs = self.differs(key)
        if damage == "node" and not differs:
            del self.damaged[key]
        unseen = (differs or damage == "edge") and key not in self.state.outbox.by_key
        unseen = unseen and key.user_id not in self.emptied
        if unseen and damage is None:
            self.broke("I2", f"{key} is not in step, and nothing lists it")
        self._window(key, open_=unseen)

    def _window(self, key: Key, *, open_: bool) -> None:
        windows = self.windows.get(key)
        is_open = bool(windows) and windows[-1][1] < 0  # type: ignore[index]  # it is not None here
        if open_ and not is_open:
            self.windows.setdefault(key, []).append([self.events, -1])
        elif is_open and not open_ and windows:
            windows[-1][1] = self.events

    def was_drift(self, key: Key, since: int) -> bool:
        """Say whether a memory was out of step and not listed at some moment since then."""
        return any(end < 0 or end >= since for _, end in self.windows.get(key, []))

    def drifted_throughout(self, since: int) -> list[Key]:
        """Return memories that were out of step and not listed at every moment since then, as versions show."""
        return [
            key
            for key, windows in self.windows.items()
            if windows[-1][1] < 0 and windows[-1][0] < since and self.damaged.get(key) == "node"
        ]

    def graph_changed(self, keys: Iterable[Key], *, cleared: bool = False) -> None:
        """See to rules I2 and I3 after a change of the graph."""
        for key in keys:
            tenant = self.graph._tenants.get(key.user_id)
            node = tenant.memories.get(key.id) if tenant else None
            if node is not None:
                former = self.high.get(key, 0)
                if node.version < former and not cleared and key not in self.damaged:
                    self.broke("I3", f"the graph's {key} went back from {former} to {node.version}")
                self.high[key] = max(node.version, former)
            self.look(key)

    def refilled(self, run: UUID, user_id: str | None) -> None:
        """Note that a rebuild is done: what it, or one begun before it, has emptied has to be there again."""
        for user in [user_id] if user_id is not None else list(self.emptied):
            if user in self.emptied and self.emptied[user] <= run:
                del self.emptied[user]
                for key in [key for key in self.facts if key.user_id == user]:
                    self.look(key)

    def given_up(self, run: UUID, user_id: str | None) -> None:
        """Note that a rebuild was cancelled, or failed: what it emptied is drift from now on, for a check to find."""
        if user_id is not None and self.emptied.get(user_id) == run:
            del self.emptied[user_id]
            for key in [key for key in self.facts if key.user_id == user_id]:
                if self.differs(key):
                    self.damaged[key] = "node"
                self.look(key)

    # --- answers ------------------------------------------------------------------------------------------------------

    def rolled_back(self, intent: Intent, version: int | None) -> None:
        """Judge an answer that a write was undone: what was there before is there again."""
        history = self.history(intent.key)
        fact = next((fact for fact in history if fact.version == version), None)
        first = next((fact for fact in history if intent.wrote and fact.at == intent.wrote[0]), None)
        if fact is None or first is None or fact.parts != first.parts:
            self.broke("answers", f"operation {intent.operation} was not rolled back, but says so")

    def acknowledged(self, intent: Intent, version: int | None, *, in_step: bool) -> None:
        """Judge an acknowledgement: the write is in truth's history, and in the graph if that was said."""
        intent.acknowledged = True
        if intent.undone:
            self.broke("I1", f"operation {intent.operation} was undone, and is acknowledged")
        fact = next((fact for fact in self.history(intent.key) if fact.version == version), None)
        if fact is None or (fact.parts is None) != intent.deletes:
            self.broke("I1", f"operation {intent.operation} was acknowledged at {version}, which truth never had")
        elif any(
            part is not None and part != there for part, there in zip(intent.parts, fact.parts or (), strict=False)
        ):
            self.broke("I1", f"operation {intent.operation} was acknowledged at {version}, which is another's")
        if in_step and self.high.get(intent.key, 0) < (version or 0):
            self.broke("answers", f"operation {intent.operation} is in step at {version}, said the graph never had it")

    def refuse(self, intent: Intent) -> None:
        """Note that an operation said that it did not happen."""
        intent.refused = True
        if intent.wrote:
            self.broke("I7", f"operation {intent.operation} said that it did not happen, but it did")

    def read(self, key: Key, version: int | None, since: int) -> None:
        """Judge what a reader was given: truth had it at some moment since it asked."""
        history = self.history(key)
        for place, fact in enumerate(history):
            until = history[place + 1].at if place + 1 < len(history) else self.events + 1
            if until >= since and (fact.version if fact.parts else None) == version:
                return
        self.broke("I6", f"{key} was read at version {version}, which truth did not have")


def _parts(row: Row) -> Part:
    return (row.content, row.metadata, row.entities)
