"""The routes in somebody else's app: its own callers, dependencies, handlers and state, and ours beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.access import ADMIN, READ, Principal, Unauthenticated
from api.http import ApiConfig, Host, create_app, hosting, mount
from persistence import AsyncPersistenceService
from persistence.errors import PersistenceError
from tests.faults.stores import until
from tests.http.keyring import ALICE, BOB

pytestmark = pytest.mark.usefixtures("demo")

SESSIONS = {"s-alice": Principal("alice", frozenset({READ}), ALICE), "s-boss": Principal("boss", frozenset({ADMIN}))}


async def by_session(request: Request) -> Principal:
    """Name whoever has a session, as an app of somebody else's would."""
    try:
        return SESSIONS[request.cookies["session"]]
    except KeyError:
        raise Unauthenticated("There is no session.") from None


async def closed_on_sunday(request: Request) -> None:
    if request.headers.get("x-day") == "sunday":
        raise HTTPException(418, "closed")


async def theirs(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"theirs": True}, 418)


@pytest.fixture
async def foreign(memories: AsyncPersistenceService) -> AsyncIterator[FastAPI]:
    app = FastAPI(exception_handlers={HTTPException: theirs})
    app.state.host = "their own"

    @app.get("/own")
    async def own() -> str:
        return "own"

    async with hosting(memories, ApiConfig()) as host:
        mount(app, lambda _: host, authenticate=by_session, prefix="/memory", dependencies=[Depends(closed_on_sunday)])
        yield app


def client(app: FastAPI, session: str | None = None) -> httpx.AsyncClient:
    cookies = {"session": session} if session else None
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example", cookies=cookies)


async def test_their_own_callers(foreign: FastAPI):
    """Whoever the app knows is the caller, with the scopes and the tenant that the app gives; others get a 401."""
    async with client(foreign, "s-alice") as http:
        assert (await http.get("/memory/demo/read")).json() == {"name": "alice", "user_id": ALICE}
        assert (await http.get(f"/memory/demo/tenants/{BOB}")).status_code == 403
        refused = await http.get("/memory/demo/admin")
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:diptych:problem:forbidden")
    async with client(foreign) as http:
        refused = await http.get("/memory/demo/read")
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        assert (await http.get("/own")).json() == "own"


async def test_their_own_dependencies(foreign: FastAPI):
    """The app's dependencies run before ours, and what they raise is answered in the app's manner."""
    async with client(foreign) as http:
        answer = await http.get("/memory/demo/read", headers={"x-day": "sunday"})
    assert (answer.status_code, answer.json()) == (418, {"theirs": True})


async def test_the_stores_are_ours_and_the_state_is_theirs(foreign: FastAPI, memories: AsyncPersistenceService):
    """A route finds its host in whatever app it is, and the app's state stays the app's."""
    await memories.store("Ada lives in London.", user_id=ALICE, entities=[], relationships=[])
    async with client(foreign, "s-alice") as http:
        assert (await http.get("/memory/demo/memories", params={"user_id": ALICE})).json() == {"count": 1}
        problem = await http.get("/memory/demo/fail/down")
    assert (problem.status_code, problem.headers["content-type"]) == (503, "application/problem+json")
    assert foreign.state.host == "their own"


async def test_their_document(foreign: FastAPI):
    """The app's OpenAPI document has our operations and the schema of our problems."""
    async with client(foreign) as http:
        document = (await http.get("/openapi.json")).json()
    assert "/memory/demo/read" in document["paths"]
    assert "Problem" in document["components"]["schemas"]
    assert "default" not in document["paths"]["/own"]["get"]["responses"]


async def test_their_own_handlers_stay(memories: AsyncPersistenceService):
    """An app that answers our errors in its own manner goes on to do so."""
    app = FastAPI(exception_handlers={PersistenceError: theirs})
    async with hosting(memories, ApiConfig()) as host, client(app, "s-boss") as http:
        mount(app, lambda _: host, authenticate=by_session)
        assert (await http.get("/demo/fail/down")).json() == {"theirs": True}


async def test_two_hosts_in_one_app(memories: AsyncPersistenceService):
    """Two services can be mounted in one app, each under a prefix of its own."""
    await memories.store("Ada lives in London.", user_id=ALICE, entities=[], relationships=[])
    app = FastAPI()
    async with (
        AsyncPersistenceService.connect(vector="memory://", graph="memory://") as others,
        hosting(memories, ApiConfig()) as one,
        hosting(others, ApiConfig(read_only=True)) as other,
        client(app, "s-boss") as http,
    ):
        mount(app, lambda _: one, authenticate=by_session, prefix="/one")
        mount(app, lambda _: other, authenticate=by_session, prefix="/other")
        counts = [(await http.get(f"/{at}/demo/memories", params={"user_id": ALICE})).json() for at in ("one", "other")]
        statuses = [(await http.post(f"/{at}/demo/admin")).status_code for at in ("one", "other")]
    assert counts == [{"count": 1}, {"count": 0}]
    assert statuses == [200, 403]


async def test_opened_in_their_lifespan(memories: AsyncPersistenceService):
    """Routes that are mounted before the app starts find the host that it opens in its lifespan; all is as above."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Host]]:
        async with hosting(memories, ApiConfig()) as host:
            yield {"memory": host}

    app = FastAPI(lifespan=lifespan)
    mount(app, lambda request: request.state.memory, authenticate=by_session, prefix="/memory")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: _started(server), what="the server listens")
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Cookie": "session=s-alice"}) as http:
        assert (await http.get("/memory/demo/memories", params={"user_id": ALICE})).json() == {"count": 0}
        problem = await http.get("/memory/demo/fail/down")
    server.should_exit = True
    await asyncio.wait_for(serving, 10)
    assert problem.json()["type"] == "urn:diptych:problem:vector-store-unavailable"


async def _started(server: uvicorn.Server) -> bool:
    return server.started


async def test_the_whole_app_under_another(memories: AsyncPersistenceService):
    """The whole application, limits and all, can be mounted as it is; the probes stay open there."""
    app = FastAPI()
    async with hosting(memories, ApiConfig()) as host, client(app) as http:
        app.mount("/memory", create_app(host, authenticate=by_session))
        assert (await http.get("/memory/livez")).json() == {"status": "alive"}
        assert (await http.get("/memory/demo/read")).status_code == 401
        assert (await http.get("/memory/demo/read", headers={"Cookie": "session=s-alice"})).status_code == 200
