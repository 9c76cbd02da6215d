"""The dashboard as HTTP: what a page may load, who may send a form, and what garbage gets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from api.access import ADMIN, LOCAL, READ, WRITE, Principal, Unauthenticated
from api.dashboard.views.actions import Action
from api.http import ApiConfig, Face, create_app, hosting, mount
from persistence import AsyncPersistenceService, PersistenceConfig

HOME = "http://localhost:8765"
OWN = {"origin": HOME, "sec-fetch-site": "same-origin"}
KEYS = {
    "admin": Principal("admin", frozenset({ADMIN})),
    "write": Principal("write", frozenset({WRITE})),
    "read": Principal("read", frozenset({READ})),
    "bob": Principal("bob", frozenset({ADMIN}), "bob"),
    "none": Principal("none", frozenset()),
}
PAGES = ("", "/memories?user_id=bob", "/inconsistencies", "/outbox", "/runs", "/confirm/check")


async def _local(request: Request) -> Principal:
    return LOCAL


async def _keyed(request: Request) -> Principal:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key not in KEYS:
        raise Unauthenticated
    return KEYS[key]


@asynccontextmanager
async def serving(
    *, keyed: bool = False, read_only: bool = False, session_secret: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the dashboard alone, on stores in memory."""
    config = PersistenceConfig(vector_url="memory://", graph_url="memory://", embedding_dimension=8)
    async with (
        AsyncPersistenceService.connect(config=config) as memories,
        hosting(memories, ApiConfig(read_only=read_only, session_secret=session_secret)) as host,
    ):
        await memories.store("Bob is at home.", user_id="bob", id="b1")
        await memories.store("Alice is away.", user_id="alice", id="a1")
        app = create_app(host, authenticate=_keyed if keyed else _local, faces={Face.DASHBOARD})
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url=HOME, headers={"accept": "text/html"}
            ) as client,
        ):
            yield client


async def _token(client: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> str:
    answer = await client.get("/dashboard/confirm/check", headers=headers)
    assert answer.status_code == 200, answer.text
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text)
    assert found is not None
    return found[1]


async def _check(client: httpx.AsyncClient, headers: Mapping[str, str], **form: Any) -> httpx.Response:
    return await client.post("/dashboard/do/check", headers=dict(headers), data={"depth": "quick", **form})


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_every_answer_carries_the_policy_and_no_page_is_kept() -> None:
    """Pages, errors and files carry the strict policy; pages have no inline script or style, and are not cached."""
    async with serving() as client:
        for path in (*PAGES, "/runs/garbage", "/static/nothing"):
            answer = await client.get(f"/dashboard{path}")
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
            )
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", answer.text)
            assert not re.search(r'(src|href|action)="(https?:)?//', answer.text)


async def test_files_are_kept_by_the_browser_and_nothing_else_is_served() -> None:
    """A file's address holds a tag of its content; a name that is not on the list is not there."""
    async with serving() as client:
        page = await client.get("/dashboard")
        for address in re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', page.text):
            answer = await client.get(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        for name in ("..%2fassets.py", "%2e%2e/router.py", "vendor/htmx.LICENSE"):
            assert (await client.get(f"/dashboard/static/{name}")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": HOME, "sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {},
    ],
)
async def test_a_form_of_another_site_is_refused(headers: dict[str, str]) -> None:
    """A form with a good token that was not sent by a page of this very origin is refused, and nothing is done."""
    async with serving() as client:
        answer = await _check(client, headers, csrf=await _token(client))
        assert answer.status_code == 403
        assert "Nothing was ever checked" in (await client.get("/dashboard/runs")).text


async def test_a_token_is_good_for_one_browser_and_one_principal() -> None:
    """No token, a wrong one, that of another browser and that of another principal are refused; one's own is not."""
    async with serving(keyed=True) as client:
        admin = {**OWN, **_bearer("admin")}
        token = await _token(client, _bearer("admin"))
        for wrong in ("", "0" * 64, "é"):
            assert (await _check(client, admin, csrf=wrong)).status_code == 403
        assert (await _check(client, {**OWN, **_bearer("bob")}, csrf=token)).status_code == 403
        kept = client.cookies.get("diptych_session")
        client.cookies.clear()
        assert (await _check(client, admin, csrf=token)).status_code == 403
        client.cookies.set("diptych_session", kept or "")
        answer = await _check(client, admin, csrf=token)
        assert answer.status_code == 303, answer.text


@pytest.mark.parametrize(("shared", "status"), [("s" * 32, 303), (None, 403)], ids=["one secret", "none"])
async def test_a_form_outlives_its_server_where_the_secret_is_shared(shared: str | None, status: int) -> None:
    """A form of one server is taken by another one that has the same secret, and by no other."""
    async with serving(session_secret=shared) as one, serving(session_secret=shared) as other:
        token = await _token(one)
        other.cookies.update(one.cookies)
        assert (await _check(other, OWN, csrf=token)).status_code == status


@pytest.mark.parametrize(("key", "status"), [("admin", 303), ("bob", 303), ("write", 403), ("read", 403)])
async def test_only_the_admin_scope_acts(key: str, status: int) -> None:
    """A key without the admin scope is refused, whatever token it brings."""
    async with serving(keyed=True) as client:
        page = await client.get("/dashboard", headers=_bearer(key))
        assert page.status_code == 200
        assert ('id="act-check"' in page.text) is (status == 303)
        token = await _token(client, _bearer(key)) if status == 303 else ""
        answer = await _check(client, {**OWN, **_bearer(key)}, csrf=token)
        assert answer.status_code == status


async def test_who_is_not_known_is_asked_for_a_key() -> None:
    """A page without a key makes the browser ask for one; a key that may not read is refused with a sentence."""
    async with serving(keyed=True) as client:
        for path in PAGES:
            answer = await client.get(f"/dashboard{path}")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
        assert (await client.get("/dashboard", headers=_bearer("none"))).status_code == 403
        assert (await _check(client, OWN, csrf="x")).status_code == 401


async def test_one_tenant_acts_for_itself_alone() -> None:
    """A key of one tenant cannot look at, check, retry or discard what is another's."""
    async with serving(keyed=True) as client:
        bob = {**OWN, **_bearer("bob")}
        token = await _token(client, _bearer("bob"))
        assert (await client.get("/dashboard/memory?user_id=alice&id=a1", headers=bob)).status_code == 403
        assert (await client.get("/dashboard/memories?user_id=alice", headers=bob)).status_code == 403
        assert (await _check(client, bob, csrf=token, user_id="alice")).status_code == 403
        for action in ("retry", "discard"):
            data = {"csrf": token, "entry": '["alice", "a1"]'}
            assert (await client.post(f"/dashboard/do/{action}", headers=bob, data=data)).status_code == 403
        assert (await client.get("/dashboard/memory?id=b1", headers=bob)).status_code == 200


async def test_a_read_only_server_refuses_every_action() -> None:
    """A read-only server refuses each action, and says that this is why."""
    async with serving(read_only=True) as client:
        for action in Action:
            answer = await client.post(f"/dashboard/do/{action}", headers=OWN, data={"depth": "quick"})
            assert answer.status_code == 403
            assert "This server is read-only" in answer.text
        assert (await client.get("/dashboard/confirm/check")).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/garbage", 422),
        ("/runs/00000000-0000-0000-0000-000000000000", 404),
        ("/memory?user_id=bob&id=none", 404),
        ("/memory?user_id=bob", 422),
        ("/inconsistencies?after=-1", 422),
        ("/inconsistencies?after=9223372036854775808", 422),
        ("/inconsistencies?kind=garbage", 200),
        ("/outbox?state=garbage", 422),
        ("/outbox?after_user=%00&after_id=x", 422),
        ("/memories?user_id=bob&q=%00", 200),
        ("/memories?user_id=%00", 422),
        ("/inconsistencies?user_id=%00", 422),
        ("/confirm/retry?entry=5", 422),
        ("/confirm/retry?entry=[%22a%22,%22%5Cud800%22]", 422),
        ("/confirm/garbage", 422),
        ("/confirm/repair", 422),
        ("/confirm/retry?entry=garbage", 422),
        ("/confirm/retry?entry=[1,2]", 422),
        ("/confirm/discard", 422),
    ],
)
async def test_garbage_gets_a_page_that_says_so(path: str, status: int) -> None:
    """What makes no sense gets a page with a sentence, and no error of the server."""
    async with serving() as client:
        answer = await client.get(f"/dashboard{path}")
        assert answer.status_code == status, answer.text
        assert "<h1" in answer.text


async def test_the_dashboard_is_at_home_under_another_prefix() -> None:
    """Included in another application under a prefix, every link and file stays below it."""
    config = PersistenceConfig(vector_url="memory://", graph_url="memory://", embedding_dimension=8)
    async with AsyncPersistenceService.connect(config=config) as memories, hosting(memories, ApiConfig()) as host:
        app = FastAPI()
        mount(app, lambda _: host, authenticate=_local, prefix="/ops", faces={Face.DASHBOARD})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOME) as client:
            page = await client.get("/ops/dashboard")
            assert page.status_code == 200
            links = re.findall(r'(?:src|href|action|hx-get)="([^"#]+)', page.text)
            assert links
            assert all(link.startswith("/ops/dashboard") for link in links)


@pytest.mark.parametrize(("method", "path"), [("GET", "/nope"), ("GET", "/do/check"), ("POST", "/nope/at/all")])
async def test_an_address_that_is_none(method: str, path: str) -> None:
    """A browser gets a page that leads to the first screen, a program the problem that it gets elsewhere."""
    async with serving() as client:
        lost = await client.request(method, f"/dashboard{path}")
        assert (lost.status_code, lost.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no page at this address." in lost.text
        assert 'href="/dashboard"' in lost.text
        told = await client.request(method, f"/dashboard{path}", headers={"accept": "application/json"})
        assert (told.status_code, told.json()["type"]) == (404, "urn:diptych:problem:not-found")


async def test_the_address_of_the_server_alone() -> None:
    """Whoever types in the server's name is led to the first screen, where there is one."""
    async with serving() as client:
        led = await client.get("/")
        assert (led.status_code, led.headers["location"]) == (307, "/dashboard")
