"""The OpenAPI document: complete, and what is answered is what it says, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from api.http.routes import MAKERS
from persistence import PersistenceConfig
from tests.http.routes.serving import served

CHECKS = (not_a_server_error, content_type_conformance, response_headers_conformance, response_schema_conformance)
#: What a store in memory never answers, so that a 5xx is a defect.
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def openapi() -> Iterator[schemathesis.schemas.BaseSchema]:
    with served(config=PersistenceConfig(enable_relay=False)) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def operations() -> list[tuple[str, str]]:
    """Return every operation of ours, as path and method."""
    app = FastAPI()
    for make_router in MAKERS:
        app.include_router(make_router())
    return [(path, method) for path, methods in app.openapi()["paths"].items() for method in methods]


#: Bytes of a request's first line: what is longer the server's own reader breaks off, and no route hears of it.
LONGEST_LINE = 60_000


def conforms(case: schemathesis.Case) -> None:
    assume(len(urlencode(case.query or {}, doseq=True)) < LONGEST_LINE)
    response = case.call(timeout=30)
    case.validate_response(response, checks=CHECKS)
    documented = case.operation.definition.raw["responses"]
    assert str(response.status_code) in documented, f"{response.status_code} is not documented: {response.text}"


def ask(operation: Any, examples: int) -> None:
    """Ask one operation what its schema allows, and as often what it does not."""
    for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
        with suppress(Unsatisfiable):  # of an operation that takes anything, nothing is wrong
            settings(FUZZ, max_examples=examples)(given(operation.as_strategy(generation_mode=mode))(conforms))()


@pytest.mark.parametrize(("path", "method"), operations())
def test_whatever_is_asked(openapi, path, method):
    """Whatever the document allows, and what it does not, is answered as it says, and never by a defect."""
    ask(openapi[path][method], 5)


@pytest.mark.long
@pytest.mark.parametrize(("path", "method"), operations())
def test_whatever_is_asked_at_length(openapi, path, method):
    """The same for minutes."""
    ask(openapi[path][method], 400)


def test_every_failure_is_a_problem(openapi):
    """Every operation says how it fails, each time with a problem, and names the media type of what it answers."""
    for path, method in operations():
        responses = openapi.raw_schema["paths"][path][method]["responses"]
        for status in ("401", "403", "422", "500", "504"):
            assert "application/problem+json" in responses[status]["content"], (path, method, status)
        assert any(status[0] == "2" for status in responses)
