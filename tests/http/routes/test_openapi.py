"""The OpenAPI document: complete, and what is answered is what it says, whatever is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from api.cli.serving.house import built
from api.cli.serving.wanted import ALL
from api.http import ApiConfig, hosting
from api.http.caller import anyone
from api.http.guard import PROBES
from api.telemetry.serving import telemetry
from persistence import AsyncPersistenceService, PersistenceConfig
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


@cache
def operations() -> list[tuple[str, str]]:
    """Return every operation of what `diptych serve` serves, as path and method."""
    paths = asyncio.run(_document())["paths"]
    return [(path, method) for path, methods in paths.items() for method in methods]


async def _document() -> dict[str, Any]:
    async with (
        telemetry({}) as seen,
        AsyncPersistenceService.connect(vector="memory://", graph="memory://") as memories,
        hosting(memories, ApiConfig()) as host,
        built(host, anyone, seen, ALL) as app,
    ):
        return app.openapi()


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


def test_the_whole_of_it_is_asked():
    """What is asked is the document of the process that serves: probes and metrics belong to it."""
    assert {("/livez", "get"), ("/readyz", "get"), ("/metrics", "get"), ("/memories", "post")} <= set(operations())


def test_every_failure_is_a_problem(openapi):
    """Every operation says how it fails, each time with a problem, and names the media type of what it answers."""
    for path, method in operations():
        responses = openapi.raw_schema["paths"][path][method]["responses"]
        refused = () if path in PROBES else ("401", "403", "422")
        for status in (*refused, "500", "504"):
            assert "application/problem+json" in responses[status]["content"], (path, method, status)
        assert any(status[0] == "2" for status in responses)
