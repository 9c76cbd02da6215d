"""Encrypted connections to Neo4j."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, Outcome, PersistenceConfig
from persistence.errors import ConfigurationError, GraphUntrustedError
from persistence.graph.neo4j import Neo4jGraph
from persistence.graph.neo4j.address import parse
from tests import planted
from tests.tls.conftest import Papers, with_parameters
from tests.tls.fronts import Behind, Front, server_context

# The driver of Neo4j leaves the socket of a connection that is refused to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(socket|_SelectorSocketTransport|StreamWriter|function):"
    "pytest.PytestUnraisableExceptionWarning"
)

SOON = 4.0
SCHEMES = ("bolt", "neo4j")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Have what the driver left collected here, not in the test that comes next."""
    yield
    gc.collect()


def encrypted(url: str, scheme: str = "bolt", mark: str = "+s", **parameters: str | Path) -> str:
    return with_parameters(f"{scheme}{mark}{url.removeprefix('bolt')}", **parameters)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_verified_connection(encrypted_neo4j: str, papers: Papers, scheme: str) -> None:
    """With the authority and a client certificate in the URL a graph is opened and asked, routed or not."""
    own = {"sslcert": papers.client.cert, "sslkey": papers.client.key}
    graph = Neo4jGraph(encrypted(encrypted_neo4j, scheme, sslrootcert=papers.authority.file, **own))
    await graph.open()
    try:
        assert (await graph.ping()).startswith("Neo4j")
    finally:
        await graph.close()


async def test_any_certificate(encrypted_neo4j: str, papers: Papers) -> None:
    """With +ssc any certificate of the server's will do, and the client shows its own all the same."""
    url = encrypted(
        encrypted_neo4j, "bolt", "+ssc", sslcert=papers.locked.cert, sslkey=papers.locked.key,
        sslpassword=papers.password,
    )  # fmt: skip
    graph = Neo4jGraph(url.replace("localhost", "127.0.0.1"))
    await graph.open()
    await graph.close()


def wrong_name(papers: Papers, url: str, scheme: str) -> str:
    return encrypted(url, scheme, sslrootcert=papers.authority.file).replace("localhost", "127.0.0.1")


def unknown_authority(papers: Papers, url: str, scheme: str) -> str:
    return encrypted(url, scheme, sslrootcert=papers.other.file)


def only_the_systems_authorities(papers: Papers, url: str, scheme: str) -> str:  # as every case
    return encrypted(url, scheme)


def no_client_certificate(papers: Papers, url: str, scheme: str) -> str:
    return encrypted(url, scheme, sslrootcert=papers.authority.file)


def foreign_client_certificate(papers: Papers, url: str, scheme: str) -> str:
    own = {"sslcert": papers.stranger.cert, "sslkey": papers.stranger.key}
    return encrypted(url, scheme, sslrootcert=papers.authority.file, **own)


def file_is_away(papers: Papers, url: str, scheme: str) -> str:
    return encrypted(url, scheme, sslrootcert=papers.authority.file.with_name("nowhere.crt"))


def wrong_password_of_key(papers: Papers, url: str, scheme: str) -> str:
    own = {"sslcert": papers.locked.cert, "sslkey": papers.locked.key, "sslpassword": "not-the-password"}
    return encrypted(url, scheme, sslrootcert=papers.authority.file, **own)


REFUSED = {
    wrong_name: ("is not for the name 127.0.0.1", "a name that the certificate has"),
    unknown_authority: ("an authority that is not trusted", "sslrootcert="),
    only_the_systems_authorities: ("an authority that is not trusted", "sslrootcert="),
    no_client_certificate: ("asks for a client certificate", "sslcert="),
    foreign_client_certificate: ("does not accept the client certificate", "an authority that the server trusts"),
    file_is_away: ("nowhere.crt that sslrootcert names cannot be read", "check the path"),
    wrong_password_of_key: ("cannot be used with the key", "sslpassword"),
}


async def refusal(url: str) -> GraphUntrustedError:
    began = time.monotonic()
    graph = Neo4jGraph(url)
    try:
        with pytest.raises(GraphUntrustedError) as caught:
            await graph.open()
    finally:
        await graph.close()
    assert time.monotonic() - began < SOON
    assert not caught.value.retryable
    planted.check(caught.value.message, caught.value.hint or "", repr(caught.value))
    return caught.value


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
async def test_what_a_real_server_refuses_or_is_refused_for(
    encrypted_neo4j: str, papers: Papers, case: Any, scheme: str
) -> None:
    """Whatever is wrong with either side's certificate is one sentence with what to do, and nothing is repeated."""
    error = await refusal(case(papers, encrypted_neo4j, scheme))
    message, hint = REFUSED[case]
    assert message in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_an_expired_certificate(papers: Papers, nothing: Behind, scheme: str) -> None:
    """A server whose certificate has expired is refused, and the sentence says so."""
    async with Front(nothing, server_context(papers.expired)).running() as front:
        error = await refusal(f"{scheme}+s://localhost:{front.port}?sslrootcert={papers.authority.file}")
    assert "has expired" in error.message


async def test_a_server_that_does_not_encrypt(clean_neo4j: str) -> None:
    """A server that speaks Bolt in the clear is told from one that is away."""
    error = await refusal(clean_neo4j.replace("bolt://", "bolt+s://"))
    assert "does not speak TLS" in error.message


async def test_a_refusal_costs_one_attempt_and_no_memory(papers: Papers, nothing: Behind) -> None:
    """A service goes on without the graph, keeps its writes for the relay, and a write does not knock three times."""
    async with Front(nothing, server_context(papers.expired)).running() as front:
        url = f"bolt+s://localhost:{front.port}?sslrootcert={papers.authority.file}"
        config = PersistenceConfig(vector_url="memory://", graph_url=url, enable_relay=False, retry_attempts=9)
        async with AsyncPersistenceService.connect(config=config) as memories:
            came = front.came
            assert (await memories.store("hello", user_id="ada")).outcome is Outcome.PENDING
            assert front.came - came <= 2  # the write's own, or a probe's, and no repetition
        with pytest.raises(GraphUntrustedError):
            async with AsyncPersistenceService.connect(config=config.model_copy(update={"graph_required": True})):
                pass


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("bolt://host?sslrootcert=/ca.pem", "not encrypted"),
        ("neo4j://host?sslcert=/c.pem&sslkey=/c.key", "not encrypted"),
        ("bolt+ssc://host?sslrootcert=/ca.pem", "any certificate"),
        ("bolt+s://host?sslkey=/c.key", "no sslcert"),
    ],
)
def test_a_url_that_contradicts_itself(url: str, word: str) -> None:
    """What a URL says of encryption must fit its scheme."""
    with pytest.raises(ConfigurationError, match=word):
        Neo4jGraph(url)


def test_what_is_not_of_encryption_goes_to_the_driver() -> None:
    """A routing policy in the URL stays there; certificates, and the scheme's mark, do not."""
    address = parse("neo4j+s://host/db?policy=e+u%2F&sslrootcert=/c+a%20.pem&sslpassword=hidden-from-everyone")
    assert address.uri == "neo4j://host:7687?policy=e+u%2F"
    assert address.tls is not None
    assert address.tls.rootcert == "/c+a .pem"
    assert "hidden-from-everyone" not in repr(address)
