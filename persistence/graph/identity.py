"""Whether a graph and a truth belong together; the rule is one for every graph."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from persistence.errors import GraphIdentityError
from persistence.ports.vector import GraphIdentity


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a graph says of itself: the database's own id, and (where it was stamped) its id and its truth's."""

    database_id: str
    graph_id: UUID | None = None
    truth_id: UUID | None = None


def accepted(stamp: Stamp, store_id: UUID, known: GraphIdentity | None, *, adopt: bool) -> GraphIdentity | None:
    """Return the identity of a stamped graph, None for one that is blank. Raises GraphIdentityError."""
    if stamp.graph_id is None:
        return None
    if stamp.truth_id != store_id:
        raise GraphIdentityError(f"This graph belongs to another truth, {stamp.truth_id}.")
    if known is not None and known.graph_id != stamp.graph_id and not adopt:
        raise GraphIdentityError("This truth has another graph.")
    return GraphIdentity(stamp.graph_id, stamp.database_id)


def new_graph_id(stamp: Stamp, known: GraphIdentity | None, *, adopt: bool) -> UUID:
    """Return the id for a blank graph: the known one where the database is the known one. Raises GraphIdentityError."""
    if known is not None and known.database_id == stamp.database_id:
        return known.graph_id
    if known is not None and not adopt:
        raise GraphIdentityError("This truth has another graph, and this one is blank.")
    return uuid4()
