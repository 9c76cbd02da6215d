"""How calls of the service are told to its observer: which call, of which memory, with what outcome."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from persistence.bulk import BulkCancelledError
from persistence.errors import (
    BulkInterruptedError,
    InvalidInputError,
    MemoryNotFoundError,
    OutcomeUnknownError,
    VersionConflictError,
)
from persistence.ports.observer import UNOBSERVED, Call, Observer
from persistence.results import DeleteAllResult, Outcome, PersistenceResult, SearchResult
from persistence.watching import Watching

P = ParamSpec("P")
T = TypeVar("T")

#: Nothing was done, and it is the caller who has to do something else.
REFUSALS = (InvalidInputError, MemoryNotFoundError, VersionConflictError)


class _Observed(Protocol):
    @property
    def _observer(self) -> Observer: ...


S = TypeVar("S", bound=_Observed)
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def observed(method: Method[S, P, T]) -> Method[S, P, T]:
    """Tell the service's observer of each call of a method, and how it went."""
    by_id = list(inspect.signature(method).parameters)[1:2] == ["id"]

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._observer is UNOBSERVED:
            return await method(self, *args, **kwargs)
        work = Call(method.__name__)
        given = {**kwargs, "id": args[0]} if by_id and args else kwargs
        with Watching(self._observer, work):
            return await _told(work, method(self, *args, **kwargs), given)

    return call


async def _told(work: Call, call: Coroutine[Any, Any, T], given: Mapping[str, Any]) -> T:
    try:
        answer = await call
    except BaseException as error:
        work.outcomes = _outcomes_of_error(error)
        if not isinstance(error, InvalidInputError):  # what was refused may be anything, in a field of any name
            work.user_id, work.memory_id = given.get("user_id"), given.get("id")
        raise
    work.outcomes = _outcomes(answer)
    work.user_id, work.memory_id = given.get("user_id"), getattr(answer, "id", given.get("id"))
    return answer


def _outcomes(answer: object) -> Mapping[str, int]:
    match answer:
        case PersistenceResult():
            return {answer.outcome.value: 1}
        case list():
            return Counter(result.outcome.value for result in answer)
        case DeleteAllResult():
            step = answer.deleted - answer.pending
            counted = {Outcome.IN_STEP.value: step, Outcome.PENDING.value: answer.pending}
            return {outcome: number for outcome, number in counted.items() if number}
        case SearchResult(degraded=str()):
            return {"degraded": 1}
    return {"ok": 1}


def _outcomes_of_error(error: BaseException) -> Mapping[str, int]:
    """Count what is known of a call that raised; of a bulk call what was acknowledged before."""
    if isinstance(error, BulkInterruptedError | BulkCancelledError):
        acknowledged = [result for result in error.results.values() if isinstance(result, PersistenceResult)]
        return Counter(result.outcome.value for result in acknowledged)
    if isinstance(error, REFUSALS):
        return {"refused": 1}
    unknown = isinstance(error, OutcomeUnknownError) or not isinstance(error, Exception)
    return {"unknown" if unknown else "failed": 1}
