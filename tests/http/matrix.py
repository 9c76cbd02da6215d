"""Every route by every caller: what a route needs, how a request to it looks, and what each caller gets.

A route that is not in the table fails `test_access_matrix.py`; so does a row without a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.access import ADMIN, READ, WRITE, Scope
from tests.http.keyring import ALICE, BOB, Keys

#: Stands in a row where the tenant goes.
TENANT = "{tenant}"
#: Who comes without a key that is valid.
NOBODY = ("nobody", "wrong", "revoked", "expired")
SCOPES = {"read": READ, "write": WRITE, "admin": ADMIN}
_RANK = list(Scope)


class At(NamedTuple):
    """A route: how a program calls it."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Row:
    """What a route needs, and a request to it that is in order.

    ``scope`` None: any key will do; ``public``: none at all. ``where`` fills the parameters of the path, ``query`` and
    ``body`` or ``form`` go along, a form with the token of a page; ``TENANT`` in any of them is the tenant.
    ``foreign``: what a key of one tenant gets for another one (None: the route names no tenant). ``all_tenants``: what
    such a key gets where no tenant is named (None: the same as any other). ``method``: what is sent to a route that
    takes any.
    """

    scope: Scope | None = None
    public: bool = False
    where: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    foreign: int | None = None
    all_tenants: int | None = None
    method: str | None = None


def routes_of(app: FastAPI) -> set[At]:
    """Return every route of an app, HEAD apart, which comes with GET."""
    return {
        At(method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or {"MOUNT"})
        if method != "HEAD"
    }


async def make_keys(keys: Keys) -> None:
    """Make a key of every kind: each scope, for all tenants and for one; revoked; expired."""
    for name, scope in SCOPES.items():
        await keys.make(name, scope)
        await keys.make(f"{name} of {ALICE}", scope, user_id=ALICE)
    await keys.make("revoked", ADMIN, revoked=True)
    await keys.make("expired", ADMIN, age=timedelta(seconds=1))
    keys.shown["wrong"] = keys.shown["admin"][:-8] + "00000000"


@dataclass(frozen=True, slots=True)
class Case:
    """One caller at one route for one tenant. ``status`` None: whatever is neither a refusal nor a defect."""

    at: At
    row: Row
    caller: str
    tenant: str
    status: int | None

    def __str__(self) -> str:
        return f"{self.at.method} {self.at.path} by {self.caller} for {self.tenant}"

    def judge(self, status: int) -> bool:
        """Say whether the status is right: the one that is due, or else any that is no refusal and no defect."""
        return status == self.status if self.status is not None else status not in {401, 403, 421, 500}


def cases(table: Mapping[At, Row]) -> Iterator[Case]:
    """Yield every route by every caller, for the tenant ALICE; those of a tenant's keys for BOB as well."""
    for at, row in table.items():
        for name in NOBODY:
            yield Case(at, row, name, ALICE, None if row.public else 401)
        for name, scope in SCOPES.items():
            status = None if _may(scope, row) else 403
            yield Case(at, row, name, ALICE, status)
            own = f"{name} of {ALICE}"
            yield Case(at, row, own, ALICE, status or row.all_tenants)
            if row.foreign is not None:
                yield Case(at, row, own, BOB, status or row.foreign)


def _may(scope: Scope, row: Row) -> bool:
    return row.public or row.scope is None or _RANK.index(scope) >= _RANK.index(row.scope)


async def send(http: httpx.AsyncClient, keys: Keys, case: Case) -> httpx.Response:
    """Send the request of a case."""
    row = case.row
    headers = keys.headers(case.caller) if case.caller != "nobody" else {}
    path = _filled(case.at.path.replace(":path}", "}").format_map(row.where), case.tenant)
    query = {name: _filled(value, case.tenant) for name, value in row.query.items()}
    given = {**row.headers, **headers}
    if row.form is not None:
        form = {**_filled(row.form, case.tenant), "csrf": await _token(http, headers)}
        return await http.post(path, data=form, headers={"origin": str(http.base_url), **given})
    body = _filled(row.body, case.tenant)
    return await http.request(row.method or case.at.method, path, params=query, json=body, headers=given)


async def _token(http: httpx.AsyncClient, headers: Mapping[str, str]) -> str:
    """Return the token that the dashboard puts into its forms for this caller; none where there is no form for them."""
    page = await http.get("/dashboard/confirm/check", headers=headers)
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    return found[1] if found else ""


def _filled(value: Any, tenant: str) -> Any:
    """Put the tenant where it goes."""
    if isinstance(value, str):
        return value.replace(TENANT, tenant)
    if isinstance(value, dict):
        return {name: _filled(inner, tenant) for name, inner in value.items()}
    return [_filled(inner, tenant) for inner in value] if isinstance(value, list) else value


async def wrong(http: httpx.AsyncClient, keys: Keys, wanted: Iterable[Case]) -> list[str]:
    """Return what each caller got that should have got something else."""
    answers = [(case, await send(http, keys, case)) for case in wanted]
    return [
        f"{case}: {answer.status_code}, not {case.status or 'let in'}: {answer.text[:200]}"
        for case, answer in answers
        if not case.judge(answer.status_code)
    ]
