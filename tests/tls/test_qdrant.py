"""Encrypted connections to Qdrant: before whatever answers like it, and to the real server where there is one."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from persistence import AsyncPersistenceService, Outcome, PersistenceConfig
from persistence.errors import ConfigurationError
from persistence.local import QdrantServer
from persistence.vector.qdrant import make
from tests import planted
from tests.conftest import ServerUnderTest, started
from tests.integration.test_qdrant_wire import Server
from tests.tls.conftest import Papers, with_parameters
from tests.tls.fronts import Behind, Front, Streams, server_context

SOON = 4.0
KEY = "a-key-of-a-test-of-encryption"


async def refusal(url: str) -> ConfigurationError:
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        await make(url).open(model="test", dimension=8)
    assert time.monotonic() - began < SOON
    assert not caught.value.retryable
    planted.check(caught.value.message, caught.value.hint or "", repr(caught.value))
    return caught.value


def wrong_name(papers: Papers) -> dict[str, Any]:
    return {"sslrootcert": papers.authority.file, "host": "127.0.0.1"}


def unknown_authority(papers: Papers) -> dict[str, Any]:
    return {"sslrootcert": papers.other.file}


def only_the_systems_authorities(papers: Papers) -> dict[str, Any]:  # as every case
    return {}


def no_client_certificate(papers: Papers) -> dict[str, Any]:
    return {"sslrootcert": papers.authority.file}


def foreign_client_certificate(papers: Papers) -> dict[str, Any]:
    return {
        "sslrootcert": papers.authority.file, "sslcert": papers.stranger.cert, "sslkey": papers.stranger.key,
    }  # fmt: skip


def file_is_away(papers: Papers) -> dict[str, Any]:
    return {"sslrootcert": papers.authority.file.with_name("nowhere.crt")}


def other_key(papers: Papers) -> dict[str, Any]:
    return {"sslrootcert": papers.authority.file, "sslcert": papers.client.cert, "sslkey": papers.server.key}


REFUSED = {
    wrong_name: ("is not for the name 127.0.0.1", "a name that the certificate has"),
    unknown_authority: ("an authority that is not trusted", "sslrootcert="),
    only_the_systems_authorities: ("an authority that is not trusted", "sslrootcert="),
    no_client_certificate: ("asks for a client certificate", "sslcert="),
    foreign_client_certificate: ("does not accept the client certificate", "an authority that the server trusts"),
    file_is_away: ("nowhere.crt that sslrootcert names cannot be read", "check the path"),
    other_key: ("cannot be used with the key", "belong together"),
}


def _url(port: int, host: str = "localhost", **parameters: Any) -> str:
    return with_parameters(f"qdrants://{host}:{port}/x", **parameters)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
async def test_what_is_refused(papers: Papers, nothing: Behind, case: Any) -> None:
    """Whatever is wrong with either side's certificate is one sentence with what to do, and nothing is repeated."""
    context = server_context(papers.server, papers.authority.file)
    async with Front(nothing, context).running() as front:
        error = await refusal(_url(front.port, **case(papers)))
    message, hint = REFUSED[case]
    assert message in error.message
    assert hint in (error.hint or "")


async def test_an_expired_certificate(papers: Papers, nothing: Behind) -> None:
    """A server whose certificate has expired is refused, and the sentence says so."""
    async with Front(nothing, server_context(papers.expired)).running() as front:
        error = await refusal(_url(front.port, sslrootcert=papers.authority.file))
    assert "has expired" in error.message


async def test_a_server_that_does_not_encrypt(papers: Papers) -> None:
    """A server that answers in the clear is told from one that is away."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        error = await refusal(_url(server.sockets[0].getsockname()[1], sslrootcert=papers.authority.file))
    assert "does not speak TLS" in error.message


async def test_what_a_verified_connection_carries(papers: Papers) -> None:
    """Through a verified connection, with a client certificate, the key comes to what is behind it."""
    async with Server().running() as server:
        behind_port = int(server.url.rpartition(":")[2])

        async def behind() -> Streams:
            return await asyncio.open_connection("127.0.0.1", behind_port)

        context = server_context(papers.server, papers.authority.file)
        async with Front(behind, context).running() as front:
            own = {"sslcert": papers.client.cert, "sslkey": papers.client.key}
            url = _url(front.port, sslrootcert=papers.authority.file, on_disk="true", **own)
            store = make(url.replace("://", f"://:{KEY}@"))
            engine = store._engine  # opening the store needs more than what answers here
            await engine.open()
            await engine.close()
    assert server.keys == [KEY]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("qdrant://host?sslrootcert=/ca.pem", "not encrypted"),
        ("qdrants://host?sslkey=/c.key", "no sslcert"),
    ],
)
def test_a_url_that_contradicts_itself(url: str, word: str) -> None:
    """What a URL says of encryption must fit its scheme."""
    with pytest.raises(ConfigurationError, match=word):
        make(url)


class _Encrypted(QdrantServer):
    """The real server, which encrypts and asks for a key and a client certificate."""

    papers: Papers

    def environment(self) -> Mapping[str, str] | None:
        return {
            **(super().environment() or os.environ),
            "QDRANT__SERVICE__API_KEY": KEY,
            "QDRANT__SERVICE__ENABLE_TLS": "true",
            "QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE": "true",
            "QDRANT__TLS__CERT": str(self.papers.server.cert),
            "QDRANT__TLS__KEY": str(self.papers.server.key),
            "QDRANT__TLS__CA_CERT": str(self.papers.authority.file),
        }

    async def is_ready(self) -> bool:
        """Say whether somebody listens; the plain question of the class above gets no answer here."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@pytest.fixture
def encrypted_qdrant(request: pytest.FixtureRequest, papers: Papers) -> Iterator[ServerUnderTest]:
    request.getfixturevalue("qdrant_server")  # where the other one starts, so does this

    def make_server(folder: Path) -> QdrantServer:
        server = _Encrypted(folder, port=0)
        server.papers = papers
        return server

    with started(make_server) as server:
        yield server


async def test_the_real_server(encrypted_qdrant: ServerUnderTest, papers: Papers) -> None:
    """A service works on a real server that encrypts and asks for a key and a certificate; without them, none does."""
    planted.plant(KEY, "the key of Qdrant")
    port = int(encrypted_qdrant.url.rpartition(":")[2].partition("/")[0])
    own = {"sslcert": papers.client.cert, "sslkey": papers.client.key}
    trusted = {"sslrootcert": papers.authority.file}
    name = f"test_{uuid.uuid4().hex[:16]}"
    url = _url(port, **trusted, **own).replace("://", f"://:{KEY}@")
    config = PersistenceConfig(schema_name=name, vector_url=url, graph_url="none://")
    async with AsyncPersistenceService.connect(config=config) as memories:
        assert (await memories.store("hello", user_id="ada")).outcome is Outcome.IN_STEP
    assert "asks for a client certificate" in (await refusal(_url(port, **trusted))).message
    assert "not for the name" in (await refusal(_url(port, "127.0.0.1", **trusted, **own))).message
    assert "not trusted" in (await refusal(_url(port, sslrootcert=papers.other.file, **own))).message
    assert "API key" in (await refusal(_url(port, **trusted, **own))).message
