"""The store itself: its rows, and what is derived from them. No lock, no clock, no I/O: who calls sees to that."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from persistence.ports.outbox import Key
from persistence.ports.runs import Inconsistency
from persistence.vector.memory.entries import Entries
from persistence.vector.memory.rows import About, Entry, Row
from persistence.vector.memory.run_rows import Found
from persistence.vector.memory.tenant import Tenant


class Table(StrEnum):
    """What there is rows of."""

    ABOUT = "about"
    MEMORIES = "memories"
    TOMBSTONES = "tombstones"
    OUTBOX = "outbox"
    RUNS = "runs"
    FOUND = "found"
    LEASES = "leases"


class Place(NamedTuple):
    """A row's table and key."""

    table: Table
    key: Any


#: What becomes of which rows: the new row, or None where it goes. All of it happens, or nothing.
Effects = Mapping[Place, Any]
ABOUT = Place(Table.ABOUT, "")


Identity = tuple[str, str | None, str, tuple[str, str] | None]


def identity_of(one: Inconsistency) -> Identity:
    """Return what tells an inconsistency from others; of each there is one open at most."""
    return one.user_id, one.memory_id, one.kind.value, one.entity


class State:
    """All rows of a store."""

    def __init__(self) -> None:
        self.about = About(uuid.uuid4())
        self.tenants: dict[str, Tenant] = {}
        self.outbox = Entries()
        self.found: dict[int, Found] = {}
        self.open: dict[Identity, int] = {}
        self._plain: dict[Table, dict[Any, Any]] = {Table.RUNS: {}, Table.LEASES: {}, Table.FOUND: self.found}
        self._sequence = 0

    def tenant(self, user_id: str) -> Tenant:
        """Return a tenant's rows; those of one that is only read are not kept."""
        return self.tenants.get(user_id) or Tenant(1)

    def chosen(self, user_id: str | None) -> list[Tenant]:
        """Return one tenant, or all, in the order of their ids."""
        if user_id is not None:
            return [self.tenant(user_id)]
        return [self.tenants[user] for user in sorted(self.tenants)]

    @property
    def size(self) -> int:
        """The number of memories and tombstones."""
        return sum(len(tenant.memories) + len(tenant.tombstones) for tenant in self.tenants.values())

    def get(self, place: Place) -> Any:
        """Return a row, None where there is none."""
        table, key = place
        if table is Table.ABOUT:
            return self.about
        if table is Table.MEMORIES:
            return self.tenant(key.user_id).memories.get(key.id)
        if table is Table.TOMBSTONES:
            return self.tenant(key.user_id).tombstones.get(key.id)
        if table is Table.OUTBOX:
            return self.outbox.by_key.get(key)
        return self._plain[table].get(key)

    def rows(self, table: Table) -> dict[Any, Any]:
        """Return the runs, the leases, what was found."""
        return self._plain[table]

    def every(self) -> Iterator[tuple[Place, Any]]:
        """Yield all rows; nothing may change meanwhile."""
        yield ABOUT, self.about
        for user_id, tenant in self.tenants.items():
            for memory_id, row in tenant.memories.items():
                yield Place(Table.MEMORIES, Key(user_id, memory_id)), row
            for memory_id, grave in tenant.tombstones.items():
                yield Place(Table.TOMBSTONES, Key(user_id, memory_id)), grave
        for key, entry in self.outbox.by_key.items():
            yield Place(Table.OUTBOX, key), entry
        for table, plain in self._plain.items():
            for name, row in plain.items():
                yield Place(table, name), row

    def apply(self, effects: Effects) -> None:
        """Put rows in and take rows out."""
        for place, row in effects.items():
            self._place(*place, row)

    def put(self, rows: Iterable[Row]) -> None:
        """Put memories in: what ``apply`` does of many, without a key for each."""
        for row in rows:
            tenant = self._kept(row.user_id)
            tenant.put(row)
            self._sequence += 1
            tenant.note(row.id, self._sequence)

    def _kept(self, user_id: str) -> Tenant:
        tenant = self.tenants.get(user_id)
        if tenant is None:
            tenant = self.tenants[user_id] = Tenant(self.about.dimension or 1)
        return tenant

    def _place(self, table: Table, key: Any, row: Any) -> None:
        if table is Table.ABOUT:
            self.about = row
        elif table in {Table.MEMORIES, Table.TOMBSTONES}:
            self._place_in_tenant(table, key, row)
        elif table is Table.OUTBOX:
            self._place_in_outbox(key, row)
        else:
            self._place_plain(table, key, row)

    def _place_in_tenant(self, table: Table, key: Key, row: Any) -> None:
        tenant = self._kept(key.user_id)
        if table is Table.TOMBSTONES:
            tenant.bury(key.id, row)
        elif row is None:
            tenant.remove(key.id)
        else:
            tenant.put(row)
        self._sequence += 1
        tenant.note(key.id, self._sequence)

    def _place_in_outbox(self, key: Key, entry: Entry | None) -> None:
        if entry is None:
            self.outbox.remove(key)
        else:
            self.outbox.put(entry)

    def _place_plain(self, table: Table, key: Any, row: Any) -> None:
        former = self._plain[table].pop(key, None) if row is None else self._plain[table].get(key)
        if row is not None:
            self._plain[table][key] = row
        if table is Table.FOUND:
            self._index(former, row)

    def _index(self, former: Found | None, found: Found | None) -> None:
        if former is not None and former.resolved_at is None:
            self.open.pop(identity_of(former.one), None)
        if found is not None and found.resolved_at is None:
            self.open[identity_of(found.one)] = found.number


class Transaction:
    """What is to become of a state: read through what was changed so far; nothing is done yet."""

    def __init__(self, state: State, moment: int) -> None:
        self.state = state
        self.moment = moment
        self.effects: dict[Place, Any] = {}

    @property
    def about(self) -> About:
        """What the store says of itself."""
        about: About = self.effects.get(ABOUT, self.state.about)
        return about

    def get(self, table: Table, key: Any) -> Any:
        """Return a row as it is going to be."""
        place = Place(table, key)
        return self.effects[place] if place in self.effects else self.state.get(place)

    def put(self, table: Table, key: Any, row: Any) -> None:
        """Put a row in the place of the one that is there."""
        self.effects[Place(table, key)] = row

    def remove(self, table: Table, key: Any) -> None:
        """Take a row out."""
        self.effects[Place(table, key)] = None

    def say(self, about: About) -> None:
        """Change what the store says of itself."""
        self.effects[ABOUT] = about
