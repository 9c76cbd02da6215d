"""From writes to the one parameter of ``apply.cypher``, whose comment says what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from persistence.graph.ordering import key_of
from persistence.ports.graph import GraphWrite
from persistence.projection import Fragment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """``order``: for each row, the position of its write in what was given."""

    rows: list[list[Any]]
    entities: list[list[Any]]
    order: list[int]

    @property
    def parameter(self) -> dict[str, Any]:
        """The value of ``$batch``."""
        return _Unshown({"rows": self.rows, "entities": self.entities})


class _Unshown(dict[str, Any]):
    """What is never spelled out: the driver makes the text of all parameters for a log that is off (20 ms a batch)."""

    def __repr__(self) -> str:
        return "{…}"


def batch(writes: Sequence[GraphWrite]) -> Batch:
    """Sort writes and the entities they mention into key order, the order in which all writers lock."""
    order = sorted(range(len(writes)), key=lambda i: key_of(writes[i]))
    ordered = [writes[i] for i in order]
    identities = sorted({(w.user_id, m.type, m.key) for w in ordered if w.fragment for m in w.fragment.mentions})
    position = {identity: i for i, identity in enumerate(identities)}
    rows = [_row(write, position) for write in ordered]
    return Batch(rows, _entities(ordered, identities, position), order)


def _entities(
    ordered: Sequence[GraphWrite], identities: Sequence[Identity], position: dict[Identity, int]
) -> list[list[Any]]:
    """List the entities, each with the rows that mention it and the names they use, the newest writer last."""
    entities: list[list[Any]] = [[*identity, [], []] for identity in identities]
    for row in sorted(range(len(ordered)), key=lambda i: ordered[i].version):
        write = ordered[row]
        for mention in write.fragment.mentions if write.fragment else ():
            entity = entities[position[write.user_id, mention.type, mention.key]]
            entity[3].append(row)
            entity[4].append(mention.name)
    return entities


def _row(write: GraphWrite, position: dict[Identity, int]) -> list[Any]:
    head = [write.user_id, write.id, write.version, write.fragment is not None, write.force]
    if write.fragment is None:
        return [*head, None, write.bucket, None, None, None, None, [], [], write.generation]
    fragment = write.fragment
    shown = [fragment.digest, write.bucket, fragment.caption, fragment.agent_id, fragment.run_id]
    return [*head, *shown, seconds(write.created_at), *_owned(fragment, position), write.generation]


def _owned(fragment: Fragment, position: dict[Identity, int]) -> tuple[list[Any], list[Any]]:
    mentions = [[position[fragment.user_id, m.type, m.key], dict(m.properties)] for m in fragment.mentions]
    edges = [[e.source, e.type, e.target, dict(e.properties)] for e in fragment.edges]
    return mentions, edges


def seconds(moment: datetime | None) -> list[int] | None:
    """Return whole seconds since 1970 and the nanoseconds behind them; the driver's own conversion costs 0.1 ms."""
    if moment is None:
        return None
    since = moment - EPOCH
    return [since // SECOND, since.microseconds * 1_000]
