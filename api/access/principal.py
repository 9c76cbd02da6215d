"""A principal: whoever a request comes from, what they may do, and for which tenant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a principal may do; each holds what the one before it holds."""

    READ = "read"
    """Read memories, their graph, and the state of the stores: runs, inconsistencies and the outbox with it."""
    WRITE = "write"
    """Also store, change and delete memories."""
    ADMIN = "admin"
    """Also check, repair and rebuild, and work on the outbox."""


READ, WRITE, ADMIN = Scope

_RANK = {scope: rank for rank, scope in enumerate(Scope)}


class Unauthenticated(Exception):  # noqa: N818  # a state of the request, answered with 401
    """The request names nobody who is known here."""


class Denied(Exception):  # noqa: N818  # a state of the request, answered with 403
    """Whoever asks may not do this."""


class Undecided(Exception):  # noqa: N818  # a state of the request, answered with 503
    """Who asks cannot be told at the moment; that is not to say that they are nobody."""


@dataclass(frozen=True, slots=True)
class Principal:
    """``name`` is for logs. ``scopes`` is what was granted; ``user_id``: the only tenant, None for all tenants."""

    name: str
    scopes: frozenset[Scope]
    user_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Say whether a scope was granted, by itself or within a wider one."""
        return any(_RANK[granted] >= _RANK[scope] for granted in self.scopes)

    def require(self, scope: Scope) -> None:
        """Raise Denied where the scope was not granted."""
        if not self.may(scope):
            raise Denied(f"This needs the scope {scope}.")

    def tenant(self, asked: str | None) -> str | None:
        """Return the tenant that is meant: the one asked for, or the only one there is for this principal.

        Raises Denied where another one is asked for; the answer is the same whether that tenant exists or not.
        """
        if self.user_id is None:
            return asked
        if asked not in {None, self.user_id}:
            raise Denied("This principal may act for one tenant only, and it is another one.")
        return self.user_id


#: Whoever asks where no authentication is configured; such a server listens on localhost only.
LOCAL = Principal("local", frozenset(Scope))
