"""Who gets through to a route: keys, scopes, tenants, browsers, other sites, whoever asks too often."""

from __future__ import annotations

import base64

import pytest

from api.access import ADMIN, READ, WRITE
from tests.http.conftest import Client
from tests.http.keyring import ALICE, BOB, Keys, bearer

pytestmark = pytest.mark.usefixtures("demo")

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(autouse=True)
async def some_keys(keys: Keys) -> None:
    await keys.make("reader", READ)
    await keys.make("writer", WRITE)
    await keys.make("admin", ADMIN)
    await keys.make("alice", READ, user_id=ALICE)


async def test_a_program_sends_its_key(client: Client, keys: Keys):
    """A key goes into the header Authorization: Bearer; the route is told whose it is."""
    http = await client()
    answer = await http.get("/demo/read", headers=keys.headers("alice"))
    assert answer.status_code == 200
    assert answer.json()["user_id"] == ALICE


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic !", "Basic eA==", "Digest x", "dk_x", "Bearer é"]
)
async def test_without_a_key_nothing_is_shown(client: Client, header: str | None):
    """Whoever sends no key gets a 401 that says how to send one, also where there is nothing, or another method."""
    http = await client()
    headers = {} if header is None else {"Authorization": header.encode()}
    for method, path in [("GET", "/demo/read"), ("GET", "/nothing"), ("PUT", "/demo/read"), ("GET", "/openapi.json")]:
        answer = await http.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="diptych"')
        assert answer.json()["type"] == "urn:diptych:problem:unauthenticated"


async def test_a_scope_that_is_missing(client: Client, keys: Keys):
    """A key without the scope gets a 403; one with a wider scope is let in."""
    http = await client()
    statuses = {
        name: [
            (await http.request(method, path, json=body, headers=keys.headers(name))).status_code
            for method, path, body in [
                ("GET", "/demo/read", None),
                ("POST", "/demo/write", {"name": "a", "size": 1}),
                ("POST", "/demo/admin", None),
            ]
        ]
        for name in ("reader", "writer", "admin")
    }
    assert statuses == {"reader": [200, 403, 403], "writer": [200, 200, 403], "admin": [200, 200, 200]}


async def test_a_tenant_that_is_not_its_own(client: Client, keys: Keys):
    """A key of one tenant gets a 403 for every other one, the same whoever that is."""
    http = await client()
    assert (await http.get(f"/demo/tenants/{ALICE}", headers=keys.headers("alice"))).status_code == 200
    answers = [await http.get(f"/demo/tenants/{who}", headers=keys.headers("alice")) for who in (BOB, "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() | {"request_id": ""} == answers[1].json() | {"request_id": ""}


async def test_scopes_come_before_bodies(client: Client, keys: Keys):
    """A body is not judged for those who may not send one."""
    http = await client()
    assert (await http.post("/demo/write", json={"wrong": 1}, headers=keys.headers("reader"))).status_code == 403
    assert (await http.post("/demo/write", content=b"{")).status_code == 401


@pytest.mark.parametrize("form", ["me:{key}", ":{key}", "{key}", "{key}:"])
async def test_a_browser_sends_its_key_as_a_password(client: Client, keys: Keys, form: str):
    """A browser is asked for a password when it loads a page, and the key is let in as one."""
    http = await client()
    asked = await http.get("/demo/read", headers=HTML)
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    given = base64.b64encode(form.format(key=keys.shown["reader"]).encode()).decode()
    assert (await http.get("/demo/read", headers={"Authorization": f"Basic {given}"})).status_code == 200


async def test_revoked_while_it_serves(client: Client, keys: Keys, some_keys: None):
    """A key that is revoked is refused by the next request."""
    http = await client()
    key = next(key for key in await keys.file.keys() if key.name == "reader")
    assert (await http.get("/demo/read", headers=keys.headers("reader"))).status_code == 200
    await keys.file.revoke("reader", key.created_at)
    assert (await http.get("/demo/read", headers=keys.headers("reader"))).status_code == 401


async def test_read_only(client: Client, keys: Keys):
    """A read-only server refuses what changes anything, to whoever it be; what an admin may look at stays open."""
    http = await client(read_only=True)
    admin = keys.headers("admin")
    for path in ("/demo/write", "/demo/admin"):
        answer = await http.post(path, json={"name": "a", "size": 1}, headers=admin)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:diptych:problem:read-only")
    assert (await http.get("/demo/admin", headers=admin)).status_code == 200
    assert (await http.post("/demo/admin", headers=keys.headers("reader"))).json()["type"].endswith("forbidden")


# --- other sites ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:81"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost:81"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
    ],
    ids=str,
)
async def test_other_sites_change_nothing(client: Client, keys: Keys, headers: dict[str, str], allowed: bool):  # noqa: FBT001
    """A page of another site cannot use the key that the browser holds for this one."""
    http = await client()
    answer = await http.post("/demo/admin", headers={**keys.headers("admin"), **headers})
    assert answer.status_code == (200 if allowed else 403)
    assert (await http.get("/demo/read", headers={**keys.headers("admin"), **headers})).status_code == 200


async def test_cors_is_off(client: Client, keys: Keys):
    """Without a setting no page of another origin can read anything."""
    http = await client()
    answer = await http.get("/demo/read", headers={**keys.headers("reader"), "Origin": "https://app.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert (await http.options("/demo/read", headers=asked)).status_code == 401


async def test_cors_for_those_that_are_named(client: Client, keys: Keys):
    """Pages of the origins that are named may call the API, with a key that they have, and no others."""
    http = await client(cors_origins="https://app.example, https://b.example")
    for origin, allowed in [("https://app.example", True), ("https://evil.example", False)]:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,content-type,if-match"
        assert (await http.options("/demo/write", headers=asked)).is_success is allowed
        sent = {**keys.headers("writer"), "Origin": origin, "Sec-Fetch-Site": "cross-site"}
        answer = await http.post("/demo/write", json={"name": "a", "size": 1}, headers=sent)
        assert (answer.status_code == 200) is allowed
        assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
        assert "access-control-allow-credentials" not in answer.headers


# --- how many ---------------------------------------------------------------------------------------------------


async def test_too_many_requests(client: Client, keys: Keys):
    """A key that sends more than it may gets a 429 that says when it goes on; the others are not held up."""
    http = await client(rate_limit="3/minute")
    reader = keys.headers("reader")
    answers = [await http.get("/demo/read", headers=reader) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"default";r=2;t=')
    last = answers[-1]
    assert last.json()["retryable"] is True
    assert 0 < int(last.headers["Retry-After"]) <= 120
    assert (await http.get("/demo/read", headers=keys.headers("writer"))).status_code == 200
    assert (await http.get("/livez")).status_code == 200


async def test_no_limit(client: Client, keys: Keys):
    """An empty limit is none, and no header speaks of one."""
    http = await client(rate_limit="")
    answer = await http.get("/demo/read", headers=keys.headers("reader"))
    assert "RateLimit" not in answer.headers


# --- without authentication -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        ("http://localhost:8765", {}, 200),
        ("http://127.0.0.1", {}, 200),
        ("http://[::1]:8765", {}, 200),
        ("http://evil.example", {}, 421),
        ("http://127.0.0.1.evil.example", {}, 421),
        ("http://192.168.1.7", {}, 421),
        ("http://localhost", {"X-Forwarded-For": "1.2.3.4"}, 421),
        ("http://localhost", {"Forwarded": "for=1.2.3.4"}, 421),
    ],
)
async def test_open_to_this_machine_alone(client: Client, keys: Keys, url: str, headers: dict[str, str], status: int):
    """Where no key was ever made whoever is on this machine is let in; a page by another name, and a proxy, is not."""
    http = await client(keys_file=keys.file.path.with_name("none.json"))
    assert (await http.get(f"{url}/demo/read", headers=headers)).status_code == status
    assert (await http.get(f"{url}/livez", headers=headers)).status_code == 200


async def test_forwarded_headers_do_not_matter_with_a_key(client: Client, keys: Keys):
    """Behind a proxy and by any name a key is let in."""
    http = await client()
    sent = {**keys.headers("reader"), "X-Forwarded-For": "1.2.3.4"}
    assert (await http.get("http://memory.example/demo/read", headers=sent)).status_code == 200
    assert (await http.get("/demo/read", headers=bearer("dk_x"))).status_code == 401
