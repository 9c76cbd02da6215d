"""From an exception to the problem that is answered with; no text of a store or a library gets into one."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.access import Denied, Principal, Unauthenticated, Undecided
from api.http import late, problems
from api.http.caller import PRINCIPAL, Misdirected, ReadOnly
from api.http.methods import allowed
from api.http.problems import Answer
from api.http.traced import request_id_of
from persistence import errors
from persistence.ports.runs import Run
from sync.reports import run_json

#: Faults of one input that are told at most.
MOST_FAULTS = 100
_KINDS = {
    kind.status: kind
    for kind in (
        problems.NOT_FOUND,
        problems.METHOD_NOT_ALLOWED,
        problems.FAILED_CONDITION,
        problems.TOO_LARGE,
        problems.MEDIA,
    )
}


async def on_error(request: Request, error: Exception) -> Response:
    """Answer with the problem that an error is. A handler for those that `answer_of` knows."""
    return answer_of(error, request).response(request_id_of(request.scope))


def answer_of(error: Exception, request: Request) -> Answer:
    """Return the problem; of one that is not known, that something unexpected happened."""
    match error:
        case errors.PersistenceError():
            return _of_ours(error, request)
        case RequestValidationError():
            return _invalid([_fault(fault) for fault in late.faults(request, error.body, error.errors())[:MOST_FAULTS]])
        case Unauthenticated():
            return _unauthenticated(error, request)
        case Denied():
            return _denied(error)
        case Undecided():
            return Answer(problems.UNDECIDED, str(error), "repeat the request later", retryable=True, retry_after=5)
        case HTTPException():
            return _of_http(error, request)
    return Answer(problems.INTERNAL, "The server's log says more, under the id of this request.")


def _of_ours(error: errors.PersistenceError, request: Request) -> Answer:
    if isinstance(error, errors.InvalidInputError):
        return _invalid([{"field": error.field, "message": f"{error.allowed}."}])
    kind = problems.kind_of(error)
    if isinstance(error, errors.VersionConflictError) and "if-match" in request.headers:
        kind = problems.FAILED_CONDITION
    return Answer(kind, error.message, error.hint, error.retryable, _more(error, request))


def _more(error: errors.PersistenceError, request: Request) -> Mapping[str, Any]:
    """Return what an error has besides its words; of a run, only to those who may see its tenant."""
    if isinstance(error, errors.VersionConflictError):
        return {"expected": error.expected, "actual": error.actual}
    if isinstance(error, errors.BulkInterruptedError):
        return {"acknowledged": sorted(error.results)}
    if isinstance(error, errors.RunConflictError) and isinstance(error.run, Run) and _may_see(error.run, request):
        return {"run": run_json(error.run)}
    return {}


def _may_see(run: Run, request: Request) -> bool:
    principal = request.scope.get(PRINCIPAL)
    return isinstance(principal, Principal) and principal.user_id in {None, run.user_id}


def _invalid(faults: list[dict[str, str]]) -> Answer:
    names = ", ".join(fault["field"] for fault in faults[:5])
    return Answer(problems.INVALID, f"The input is not allowed: {names}.", more={"errors": faults})


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """Return where a fault is and what is allowed there; never what stood there."""
    match fault:
        case {"type": "json_invalid", "loc": (str(where), int(position)), "ctx": {"error": why}}:
            return _no_json(where, position, why)
    where, *steps = (str(step) for step in fault["loc"])
    return {"in": where, "field": ".".join(steps) or where, "message": f"{fault['msg']}."}


def _no_json(where: str, position: int, why: str) -> dict[str, str]:
    """Return where a body ceases to be JSON: of such a body no field is known."""
    return {"in": where, "field": where, "message": f"It must be JSON, and is not from position {position} on: {why}."}


def _unauthenticated(error: Unauthenticated, request: Request) -> Answer:
    """Challenge a browser that loads a page to ask for a key; a program is told which header to send."""
    if "text/html" in request.headers.get("accept", ""):
        challenge = 'Basic realm="diptych", charset="UTF-8"'
    elif "authorization" in request.headers:
        challenge = 'Bearer realm="diptych", error="invalid_token"'
    else:
        challenge = 'Bearer realm="diptych"'
    hint = "send the header Authorization: Bearer, with a key made by `diptych keys create`"
    return Answer(problems.UNAUTHENTICATED, str(error), hint, headers={"WWW-Authenticate": challenge})


def _denied(error: Denied) -> Answer:
    if isinstance(error, ReadOnly):
        return Answer(problems.READ_ONLY, str(error))
    if isinstance(error, Misdirected):
        return Answer(problems.MISDIRECTED, str(error), "make a key by `diptych keys create`, and send it along")
    headers = {"WWW-Authenticate": 'Bearer realm="diptych", error="insufficient_scope"'}
    return Answer(problems.FORBIDDEN, str(error), headers=headers)


def _of_http(error: HTTPException, request: Request) -> Answer:
    """Return the problem of a status; one that is no kind of ours has the type `about:blank`'s meaning: its status.

    A route knows its own methods alone, and a path may be that of several.
    """
    status = HTTPStatus(error.status_code)
    kind = _KINDS.get(status) or problems.Kind(f"http-{status.value}", status, status.phrase)
    headers = dict(error.headers or {})
    if kind is problems.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed(request)
    return Answer(kind, str(error.detail), headers=headers)
