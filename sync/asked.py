"""What a run was asked for: checked when it is asked, kept with the run, read back when the run is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from persistence.errors import InvalidInputError
from persistence.ports.runs import Depth, Run, RunKind
from persistence.records import Record, validated
from persistence.text import Name
from sync.model import Pace, Scope, Strategy

E = TypeVar("E", bound=StrEnum)

MAX_LIMIT = 1_000
MAX_IDS = 10_000


#: As fast as it goes.
UNHURRIED = Pace()


class _Tenant(Record):
    user_id: Name


class _Ids(Record):
    ids: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Once:
    """What makes an order that is repeated known for the same: the caller's key, and a digest of all that was asked."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    ``of_run``: the check whose findings are to be mended, None for checking as it goes. ``once``: whoever asked may
    ask again, and means this run then.
    """

    scope: Scope
    depth: Depth = Depth.QUICK
    limit: int = 100
    pace: Pace = UNHURRIED
    dry_run: bool = False
    strategy: Strategy = Strategy.TRUTH_WINS
    force: bool = False
    clear_existing: bool = False
    re_extract: bool = False
    of_run: str | None = None
    once: Once | None = None

    @property
    def applies(self) -> bool:
        """Whether the graph is to be changed."""
        return not self.dry_run and self.strategy is not Strategy.REPORT_ONLY

    def of_check(self, run: Run) -> Asked:
        """Return the same for what a check found, in that check's scope and at its depth.

        A dry run of what a check found stands for that check.
        """
        before = Asked.restored(run.user_id, run.request)
        return replace(self, scope=before.scope, depth=before.depth, of_run=before.of_run or str(run.id))

    @property
    def known(self) -> bool:
        """Whether what is found is in the record already, and is to stay there as the finding of that check."""
        return self.of_run is not None and not self.applies

    def saved(self) -> dict[str, Any]:
        """Return it as JSON; the tenant is kept beside it."""
        return {
            "ids": None if self.scope.ids is None else list(self.scope.ids),
            "depth": self.depth.value,
            "limit": self.limit,
            "rows_per_second": self.pace.rows_per_second,
            "max_response_ms": self.pace.max_response_ms,
            "dry_run": self.dry_run,
            "strategy": self.strategy.value,
            "force": self.force,
            "clear_existing": self.clear_existing,
            "re_extract": self.re_extract,
            "of_run": self.of_run,
            "once": None if self.once is None else asdict(self.once),
        }

    @classmethod
    def restored(cls, user_id: str | None, saved: Mapping[str, Any]) -> Asked:
        """Return the request that was saved."""
        ids = saved["ids"]
        return cls(
            Scope(user_id, None if ids is None else tuple(ids)),
            Depth(saved["depth"]),
            saved["limit"],
            Pace(saved["rows_per_second"], saved["max_response_ms"]),
            saved["dry_run"],
            Strategy(saved["strategy"]),
            saved["force"],
            saved["clear_existing"],
            saved["re_extract"],
            saved["of_run"],
            once_of(saved),
        )


def once_of(saved: Mapping[str, Any]) -> Once | None:
    """Return what makes the order of a run known again; None too for a run from before there was such a thing."""
    once = saved.get("once")
    return None if once is None else Once(once["key"], once["digest"])


def asked_of(
    user_id: str | None,
    ids: Sequence[str] | None,
    *,
    depth: Depth | str = Depth.QUICK,
    limit: int = 100,
    pace: Pace | None = None,
    strategy: Strategy | str = Strategy.TRUTH_WINS,
    dry_run: bool = False,
    force: bool = False,
    clear_existing: bool = False,
    re_extract: bool = False,
    once: Once | None = None,
) -> Asked:
    """Return a request that was checked. Raises InvalidInputError."""
    if limit not in range(1, MAX_LIMIT + 1):
        raise InvalidInputError("limit", limit, f"it must be 1 to {MAX_LIMIT}")
    return Asked(
        _scope(user_id, ids),
        _one_of(Depth, "depth", depth),
        limit,
        _pace(pace or UNHURRIED),
        dry_run,
        _one_of(Strategy, "strategy", strategy),
        force,
        clear_existing,
        re_extract,
        once=once,
    )


def checked_request(kind: RunKind, asked: Asked) -> None:
    """Refuse what does not go together. Raises InvalidInputError."""
    if kind is RunKind.REBUILD and asked.clear_existing and asked.scope.user_id is None:
        raise InvalidInputError("clear_existing", True, "it empties the graph of one tenant, so name its user_id")


def _scope(user_id: str | None, ids: Sequence[str] | None) -> Scope:
    if user_id is not None:
        user_id = validated(_Tenant, {"user_id": user_id}).user_id
    if ids is None:
        return Scope(user_id)
    if user_id is None:
        raise InvalidInputError("ids", list(ids)[:3], "ids are those of one tenant, so name its user_id")
    if isinstance(ids, str) or not 1 <= len(ids) <= MAX_IDS:
        raise InvalidInputError("ids", ids, f"it must be a list of 1 to {MAX_IDS:,} ids")
    return Scope(user_id, validated(_Ids, {"ids": tuple(ids)}).ids)


def _one_of(kind: type[E], field: str, value: E | str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidInputError(field, value, f"it must be one of {', '.join(kind)}") from error


def _pace(pace: Pace) -> Pace:
    for field in ("rows_per_second", "max_response_ms"):
        value = getattr(pace, field)
        if value is not None and not 0 < value < float("inf"):
            raise InvalidInputError(field, value, "it must be more than 0")
    return pace
