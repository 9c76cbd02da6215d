"""What goes wrong, as it is answered: one form for all of it, and nothing in it that is not for the one who asks."""

from __future__ import annotations

import inspect
import logging
import re
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from api.access import WRITE
from api.http import problems
from persistence import errors
from tests.http.conftest import Client
from tests.http.demo import TOLD
from tests.http.keyring import Keys

pytestmark = pytest.mark.usefixtures("demo")

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "problems.md"
FIELDS = {"type", "title", "status", "detail", "hint", "retryable", "request_id"}


@pytest.fixture
async def http(client: Client, keys: Keys) -> httpx.AsyncClient:
    await keys.make("writer", WRITE)
    made = await client()
    made.headers.update(keys.headers("writer"))
    return made


def every_error() -> list[type[errors.PersistenceError]]:
    """Return every error there is in persistence/errors.py."""
    found = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    return [value for value in found if issubclass(value, errors.PersistenceError)]


def every_kind() -> set[problems.Kind]:
    return {*problems.OF_HTTP, *problems.OF_ERRORS.values(), problems.FAILED_CONDITION}


def test_every_error_has_a_kind():
    """Each error of the library has a kind of its own, and no two kinds share a type, but for the two of a version."""
    assert set(problems.OF_ERRORS) == set(every_error())
    slugs = [kind.slug for kind in every_kind() - {problems.FAILED_CONDITION}]
    assert len(slugs) == len(set(slugs))


def test_the_page_lists_every_type():
    """docs/reference/problems.md has a row for every type, with its status, and none besides."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+(?:, \d+)*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    statuses: dict[str, set[int]] = {}
    for kind in every_kind():
        statuses.setdefault(kind.slug, set()).add(kind.status.value)
    assert {slug: {int(status) for status in given.split(", ")} for slug, given in rows} == statuses
    assert len(rows) == len(statuses)


def test_what_can_be_repeated_is_no_fault_of_the_request():
    """An error that can be repeated as it is has a status that clients repeat: 503, 504."""
    for kind, error in ((problems.OF_ERRORS[error], error) for error in every_error()):
        assert (kind.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}) >= error.retryable


@pytest.mark.parametrize(
    ("name", "status", "kind", "retryable"),
    [
        ("version", 409, "version-conflict", False),
        ("input", 422, "invalid-input", False),
        ("down", 503, "vector-store-unavailable", True),
        ("unknown", 503, "outcome-unknown", False),
        ("bulk", 503, "bulk-interrupted", True),
        ("missing", 404, "memory-not-found", False),
    ],
)
async def test_errors_as_problems(http: httpx.AsyncClient, name: str, status: int, kind: str, retryable: bool):  # noqa: FBT001
    """An error of the library is answered as a problem with its type, its words, and never those of a driver."""
    answer = await http.get(f"/demo/fail/{name}")
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.keys() >= FIELDS
    assert (answer.status_code, body["status"]) == (status, status)
    assert (body["type"], body["retryable"]) == (f"urn:diptych:problem:{kind}", retryable)
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert TOLD not in answer.text


async def test_what_an_error_has_besides(http: httpx.AsyncClient):
    """A conflict says both versions, a bulk call what was acknowledged; with If-Match a conflict is a 412."""
    conflict = await http.get("/demo/fail/version", headers={"If-Match": '"1"'})
    assert (conflict.status_code, conflict.json()["expected"], conflict.json()["actual"]) == (412, 1, 2)
    assert (await http.get("/demo/fail/bulk")).json()["acknowledged"] == [0, 2]


async def test_every_field_at_fault(http: httpx.AsyncClient):
    """Input that is not allowed gets a 422 that names every field at fault, and repeats nothing of what was sent."""
    answer = await http.post("/demo/write", json={"size": "secret", "more": 1})
    faults = answer.json()["errors"]
    assert answer.status_code == 422
    assert {(fault["in"], fault["field"]) for fault in faults} == {("body", "name"), ("body", "size"), ("body", "more")}
    assert "secret" not in answer.text
    ours = (await http.get("/demo/fail/input")).json()
    assert ours["errors"] == [{"field": "content", "message": "it must be shorter."}]


@pytest.mark.parametrize("body", [b"{", b"[1", b"\xff\xff", b"null", b'"x"', b"[" * 100_000, b"1e999999"])
async def test_garbage(http: httpx.AsyncClient, body: bytes):
    """Whatever stands in a body, it is the sender's fault, said as a problem."""
    answer = await http.post("/demo/write", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_where_a_body_ceases_to_be_json(http: httpx.AsyncClient):
    """Of a body that is no JSON the body is at fault, no field of it; the sentence says from where on."""
    given = b'{"name": "secret", "size": }'
    answer = await http.post("/demo/write", content=given, headers={"Content-Type": "application/json"})
    (fault,) = answer.json()["errors"]
    message = "It must be JSON, and is not from position 27 on: Expecting value."
    assert (answer.status_code, fault) == (422, {"in": "body", "field": "body", "message": message})
    assert answer.json()["detail"] == "The input is not allowed: body."


async def test_a_defect_shows_nothing_of_itself(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture):
    """What nobody expected is a 500 without a word of it; the log has all of it, under the request's id."""
    with caplog.at_level(logging.ERROR, "diptych"):
        answer = await http.get("/demo/defect", headers={"X-Request-ID": "abc-123"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:diptych:problem:internal")
    assert TOLD not in answer.text
    assert answer.json()["request_id"] == "abc-123"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.request_id == "abc-123"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("DELETE", "/demo/read", 405, "method-not-allowed"),
        ("GET", "/demo/%00", 404, "not-found"),
        ("BREW", "/demo/read", 405, "method-not-allowed"),
    ],
)
async def test_what_is_not_there(http: httpx.AsyncClient, method: str, path: str, status: int, kind: str):
    """A path that leads nowhere and a method that is not taken are problems, too."""
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:diptych:problem:{kind}")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/memories", "HEAD, GET, POST, DELETE"),
        ("POST", "/memories/a/b", "HEAD, GET, PATCH, DELETE"),
        ("PUT", "/memories/search", "HEAD, GET, POST, PATCH, DELETE"),  # the id of a memory, too
        ("GET", "/persistence/outbox/a/retry", "POST"),
        ("POST", "/livez", "HEAD, GET"),
        ("POST", "/openapi.json", "HEAD, GET"),
    ],
)
async def test_the_methods_of_a_path(http: httpx.AsyncClient, method: str, path: str, allow: str):
    """A 405 lists every method of the path, also those of other routes."""
    answer = await http.request(method, path)
    assert (answer.status_code, answer.headers.get_list("Allow")) == (405, [allow])


@pytest.mark.parametrize("given", ["a\nb", "x" * 129, "", "é", "<script>", "a b"])
async def test_an_id_that_is_not_sane_is_replaced(http: httpx.AsyncClient, given: str):
    """An id is taken over where it is safe to log and to send back; else one is made; each answer has one."""
    answer = await http.get("/demo/read", headers={"X-Request-ID": given.encode()})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    kept = await http.get("/demo/read", headers={"X-Request-ID": "job-7/a:b_c.d"})
    assert kept.headers["X-Request-ID"] == "job-7/a:b_c.d"


async def test_safe_headers_on_every_answer(http: httpx.AsyncClient):
    """Data is neither sniffed, framed, kept, nor taken for a page, whatever the answer is."""
    for path in ("/livez", "/demo/read", "/nothing", "/demo/defect", "/demo/fail/down"):
        headers = (await http.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")


async def test_the_document_declares_problems(http: httpx.AsyncClient):
    """The OpenAPI document says of every operation what its problems look like, and that it needs a key."""
    document = (await http.get("/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/Problem"}
    assert set(document["components"]["schemas"]["Problem"]["required"]) == FIELDS
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["responses"]["default"]["content"]["application/problem+json"]["schema"] == schema
            assert ("security" in operation) == (path not in {"/livez", "/readyz"})
