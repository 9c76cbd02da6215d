"""Every route by all scopes, by its own and by a foreign tenant; a route that nobody thought of fails here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.access import ADMIN, READ, WRITE
from tests.http.conftest import Client
from tests.http.keyring import ALICE, BOB, Keys
from tests.http.matrix import TENANT, At, Row, cases, make_keys, routes_of, send, wrong

#: Every route there is.
TABLE = {
    At("GET", "/livez"): Row(public=True),
    At("GET", "/readyz"): Row(public=True),
    At("GET", "/openapi.json"): Row(),
}

#: The routes of `demo.py`, to see that the matrix sees what it is for.
DEMO = {
    At("GET", "/demo/read"): Row(READ),
    At("GET", "/demo/tenants/{user_id}"): Row(READ, where={"user_id": TENANT}, foreign=403),
    At("POST", "/demo/write"): Row(WRITE, body={"name": TENANT, "size": 1}),
    At("POST", "/demo/touch"): Row(READ),
    At("GET", "/demo/admin"): Row(ADMIN),
    At("POST", "/demo/admin"): Row(ADMIN),
    At("GET", "/demo/memories"): Row(READ, query={"user_id": TENANT}),
}
#: Those that never end, or end in a defect.
NOT_HERE = {"/demo/defect", "/demo/slow", "/demo/events", "/demo/fail/{name}"}


@pytest.fixture(autouse=True)
async def all_keys(keys: Keys) -> None:
    await make_keys(keys)


async def test_every_route_is_in_the_table(client: Client):
    """The table has a row for every route of the app, and no other rows."""
    http = await client()
    assert routes_of(http.app) == set(TABLE)  # type: ignore[attr-defined]


async def test_every_caller_gets_what_is_due(client: Client, keys: Keys):
    """Each route lets in who has the scope and the tenant, and nobody else."""
    assert await wrong(await client(), keys, cases(TABLE)) == []


async def test_foreign_tenants_look_alike(client: Client, keys: Keys):
    """What a key of one tenant is told about another does not say whether there is one."""
    http = await client()
    for case in cases(TABLE):
        if case.tenant == BOB:
            answers = [await send(http, keys, replace(case, tenant=tenant)) for tenant in (BOB, "no-such-tenant")]
            told = [answer.text.replace(answer.headers["X-Request-ID"], "") for answer in answers]
            assert told[0].replace(BOB, "") == told[1].replace("no-such-tenant", ""), str(case)


@pytest.mark.usefixtures("demo")
async def test_the_matrix_sees_what_it_is_for(client: Client, keys: Keys):
    """Routes that ask for the wrong scope, or for none, or forget a tenant, are found; those in order are not."""
    http = await client()
    assert {at for at in routes_of(http.app) if at.path not in NOT_HERE} == {*TABLE, *DEMO}  # type: ignore[attr-defined]
    assert await wrong(http, keys, cases(DEMO)) == []
    read, tenants, count = At("GET", "/demo/read"), At("GET", "/demo/tenants/{user_id}"), At("GET", "/demo/memories")
    assert len(await wrong(http, keys, cases({read: Row(WRITE)}))) == 2
    assert len(await wrong(http, keys, cases({read: Row(public=True)}))) == 4
    assert len(await wrong(http, keys, cases({tenants: replace(DEMO[tenants], foreign=404)}))) == 3
    forgets = await wrong(http, keys, cases({count: replace(DEMO[count], foreign=403)}))
    assert len(forgets) == 3
    assert all(f"of {ALICE} for {BOB}" in line for line in forgets)
