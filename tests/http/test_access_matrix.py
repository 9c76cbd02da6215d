"""Every route by all scopes, by its own and by a foreign tenant; a route that nobody thought of fails here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from api.access import ADMIN, READ, WRITE
from persistence import AsyncPersistenceService
from tests.http.keyring import ALICE, BOB, Keys
from tests.http.matrix import TENANT, At, Row, cases, make_keys, routes_of, send, wrong
from tests.http.whole import whole

Serving = Callable[[], AbstractAsyncContextManager[tuple[FastAPI, httpx.AsyncClient]]]

#: Every route there is.
PROBES = {
    At("GET", "/livez"): Row(public=True),
    At("GET", "/readyz"): Row(public=True),
    At("GET", "/openapi.json"): Row(),
    At("GET", "/metrics"): Row(READ, all_tenants=403),
}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "matrix", "version": "0"}},
}
MCP = {
    At("MOUNT", "/mcp"): Row(
        READ, method="POST", body=HELLO, headers={"Accept": "application/json, text/event-stream"}
    ),
}
RUN = {"run_id": str(UUID(int=7))}
ONE = {"id": "m1"}
OF = {"user_id": TENANT}
OPERATING = {
    At("GET", "/persistence/status"): Row(READ),
    At("GET", "/persistence/sync"): Row(READ, query=OF, foreign=403),
    At("POST", "/persistence/sync"): Row(ADMIN, body={"operation": "check", "wait": True, **OF}, foreign=403),
    At("GET", "/persistence/inconsistencies"): Row(READ, query=OF, foreign=403),
    At("GET", "/persistence/sync/runs"): Row(READ, query=OF, foreign=403),
    At("GET", "/persistence/sync/runs/{run_id}"): Row(READ, where=RUN),
    At("GET", "/persistence/sync/runs/{run_id}/events"): Row(READ, where=RUN),
    At("POST", "/persistence/sync/runs/{run_id}/cancel"): Row(ADMIN, where=RUN),
    At("POST", "/persistence/sync/runs/{run_id}/resume"): Row(ADMIN, where=RUN),
    At("GET", "/persistence/outbox"): Row(READ, query=OF, foreign=403),
    At("POST", "/persistence/outbox/{id:path}/retry"): Row(ADMIN, where=ONE, query=OF, foreign=403),
    At("POST", "/persistence/outbox/{id:path}/discard"): Row(ADMIN, where=ONE, query=OF, foreign=403),
}
MEMORIES = {
    At("POST", "/memories"): Row(WRITE, body={"content": "Ada is here.", **OF}, foreign=403),
    At("GET", "/memories"): Row(READ, query=OF, foreign=403),
    At("DELETE", "/memories"): Row(WRITE, query={"confirm": "true", **OF}, foreign=403),
    At("POST", "/memories/batch"): Row(WRITE, body={"memories": [{"content": "Ada is here.", **OF}]}, foreign=403),
    At("POST", "/memories/search"): Row(READ, body={"query": "Ada", **OF}, foreign=403),
    At("GET", "/memories/{id:path}/related"): Row(READ, where=ONE, query=OF, foreign=403),
    At("GET", "/memories/{id:path}"): Row(READ, where=ONE, query=OF, foreign=403),
    At("PATCH", "/memories/{id:path}"): Row(WRITE, where=ONE, query=OF, body={"content": "No."}, foreign=403),
    At("DELETE", "/memories/{id:path}"): Row(WRITE, where=ONE, query=OF, foreign=403),
    At("GET", "/graph"): Row(READ, query=OF, foreign=403),
    At("GET", "/graph/nodes"): Row(READ, query=OF, foreign=403),
    At("GET", "/graph/edges"): Row(READ, query=OF, foreign=403),
    At("GET", "/graph/neighbourhood"): Row(READ, query={"type": "person", "name": "Ada", **OF}, foreign=403),
    At("GET", "/export"): Row(READ, query=OF, foreign=403),
}
PAGES = {
    At("GET", "/"): Row(),
    At("GET", "/dashboard/{path:path}"): Row(where={"path": "nope"}),
    At("POST", "/dashboard/{path:path}"): Row(where={"path": "nope"}),
    At("GET", "/dashboard"): Row(READ),
    At("GET", "/dashboard/memories"): Row(READ, query={"q": "Ada", **OF}, foreign=403),
    At("GET", "/dashboard/memory"): Row(READ, query={**ONE, **OF}, foreign=403),
    At("GET", "/dashboard/inconsistencies"): Row(READ, query=OF, foreign=403),
    At("GET", "/dashboard/outbox"): Row(READ, query=OF, foreign=403),
    At("GET", "/dashboard/runs"): Row(READ),
    At("GET", "/dashboard/runs/{run_id}"): Row(READ, where=RUN),
    At("GET", "/dashboard/runs/{run_id}/events"): Row(READ, where=RUN),
    At("GET", "/dashboard/confirm/{action}"): Row(ADMIN, where={"action": "check"}, query=OF, foreign=403),
    At("POST", "/dashboard/do/check"): Row(ADMIN, form={"depth": "quick", **OF}, foreign=403),
    At("POST", "/dashboard/do/plan-repair"): Row(ADMIN, form=OF, foreign=403),
    At("POST", "/dashboard/do/repair"): Row(ADMIN, form={"run": RUN["run_id"]}),
    At("POST", "/dashboard/do/plan-rebuild"): Row(ADMIN, form=OF, foreign=403),
    At("POST", "/dashboard/do/rebuild"): Row(ADMIN, form={"run": RUN["run_id"]}),
    At("POST", "/dashboard/do/cancel"): Row(ADMIN, form={"run": RUN["run_id"]}),
    At("POST", "/dashboard/do/resume"): Row(ADMIN, form={"run": RUN["run_id"]}),
    At("POST", "/dashboard/do/retry"): Row(ADMIN, form={}),
    At("POST", "/dashboard/do/retry-all"): Row(ADMIN, form=OF, foreign=403),
    At("POST", "/dashboard/do/discard"): Row(ADMIN, form={}),
    At("GET", "/dashboard/static/{name}"): Row(where={"name": "style.css"}),
}
TABLE = {**PROBES, **MCP, **OPERATING, **MEMORIES, **PAGES}

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


@pytest.fixture
def serving(memories: AsyncPersistenceService, keys: Keys, tmp_path: Path) -> Serving:
    return partial(whole, memories, keys, tmp_path)


async def test_every_route_is_in_the_table(serving: Serving):
    """The table has a row for every route of the app, and no other rows."""
    async with serving() as (app, _):
        assert routes_of(app) == set(TABLE)


async def test_every_caller_gets_what_is_due(serving: Serving, keys: Keys):
    """Each route lets in who has the scope and the tenant, and nobody else."""
    async with serving() as (_, http):
        assert await wrong(http, keys, cases(TABLE)) == []


async def test_foreign_tenants_look_alike(serving: Serving, keys: Keys):
    """What a key of one tenant is told about another does not say whether there is one."""
    async with serving() as (_, http):
        for case in cases(TABLE):
            if case.tenant == BOB:
                answers = [await send(http, keys, replace(case, tenant=tenant)) for tenant in (BOB, "no-such-tenant")]
                told = [answer.text.replace(answer.headers["X-Request-ID"], "") for answer in answers]
                assert told[0].replace(BOB, "") == told[1].replace("no-such-tenant", ""), str(case)


@pytest.mark.usefixtures("demo")
async def test_the_matrix_sees_what_it_is_for(serving: Serving, keys: Keys):
    """Routes that ask for the wrong scope, or for none, or forget a tenant, are found; those in order are not."""
    read, tenants, count = At("GET", "/demo/read"), At("GET", "/demo/tenants/{user_id}"), At("GET", "/demo/memories")
    async with serving() as (app, http):
        assert {at for at in routes_of(app) if at.path not in NOT_HERE} == {*TABLE, *DEMO}
        assert await wrong(http, keys, cases(DEMO)) == []
        assert len(await wrong(http, keys, cases({read: Row(WRITE)}))) == 2
        assert len(await wrong(http, keys, cases({read: Row(public=True)}))) == 4
        assert len(await wrong(http, keys, cases({tenants: replace(DEMO[tenants], foreign=404)}))) == 3
        forgets = await wrong(http, keys, cases({count: replace(DEMO[count], foreign=403)}))
    assert len(forgets) == 3
    assert all(f"of {ALICE} for {BOB}" in line for line in forgets)


@pytest.mark.parametrize(
    "at", ["outbox", "inconsistencies", "sync/runs", "sync/runs/{run_id}", "sync/runs/{run_id}/events"]
)
def test_pages_and_routes_ask_for_the_same(at: str):
    """What the dashboard shows to a scope, the API tells it as well."""
    page = At("GET", f"/dashboard/{at.removeprefix('sync/')}")
    assert TABLE[At("GET", f"/persistence/{at}")].scope is TABLE[page].scope is READ
