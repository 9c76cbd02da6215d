"""Encrypted connections to PostgreSQL, of the truth and of the graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from persistence import AsyncPersistenceService, Outcome, PersistenceConfig
from persistence.errors import ConfigurationError, GraphUntrustedError, PersistenceError
from persistence.graph.postgres import PostgresGraph
from persistence.vector.pgvector import PgVectorStore
from tests import planted
from tests.tls.certificates import Pair
from tests.tls.conftest import ADA, Papers, with_parameters
from tests.tls.fronts import Behind, Front, server_context

#: A refusal is told at once, not after waits; the bound leaves room for a busy machine.
SOON = 4.0
VERIFIED = {"sslmode": "verify-full"}


async def refusal(url: str) -> PersistenceError:
    """Return what opening a truth there raises; a graph there raises the same sentence, and neither is repeated."""
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        await PgVectorStore(url, schema="ours").open(model="test", dimension=8)
    assert time.monotonic() - began < SOON
    with pytest.raises(GraphUntrustedError) as graph:
        await PostgresGraph(url, schema="ours_graph").open()
    assert (graph.value.message, graph.value.hint) == (caught.value.message, caught.value.hint)
    assert not caught.value.retryable
    assert not graph.value.retryable
    planted.check(caught.value.message, caught.value.hint or "", repr(caught.value))
    return caught.value


async def test_a_graph_behind_a_verified_connection(encrypted_postgres: str, papers: Papers) -> None:
    """A graph on a server whose certificate is right is opened, made and asked."""
    url = with_parameters(encrypted_postgres, **VERIFIED, sslrootcert=papers.authority.file)
    graph = PostgresGraph(url, schema="verified_graph")
    await graph.open()
    try:
        assert (await graph.ping()).startswith("PostgreSQL")
    finally:
        await graph.close()


@pytest.mark.parametrize("locked", [False, True], ids=["open-key", "key-with-password"])
async def test_a_client_certificate(encrypted_postgres: str, papers: Papers, *, locked: bool) -> None:
    """A user whom only a certificate lets in comes in with it, and with the password of its key where it has one."""
    own = papers.locked if locked else papers.client
    extra = {"sslpassword": papers.password} if locked else {}
    url = with_parameters(
        encrypted_postgres.replace("postgres@", f"{ADA}@"), **VERIFIED, sslrootcert=papers.authority.file,
        sslcert=own.cert, sslkey=own.key, **extra,
    )  # fmt: skip
    graph = PostgresGraph(url, schema=f"client_{locked}_graph".lower())
    await graph.open()
    await graph.close()


def wrong_name(papers: Papers, url: str) -> str:
    return with_parameters(url.replace("localhost", "127.0.0.1"), **VERIFIED, sslrootcert=papers.authority.file)


def unknown_authority(papers: Papers, url: str) -> str:
    return with_parameters(url, **VERIFIED, sslrootcert=papers.other.file)


def no_authority(papers: Papers, url: str) -> str:  # every case is given the same
    return with_parameters(url, **VERIFIED)


def file_is_away(papers: Papers, url: str) -> str:
    return with_parameters(url, **VERIFIED, sslrootcert=papers.authority.file.with_name("nowhere.crt"))


def file_is_none(papers: Papers, url: str) -> str:
    return with_parameters(url, **VERIFIED, sslrootcert=papers.server.key)


def _ada(papers: Papers, url: str, own: Pair | None = None, **more: Any) -> str:
    shown = {"sslcert": own.cert, "sslkey": own.key} if own else {}
    user = url.replace("postgres@", f"{ADA}@")
    return with_parameters(user, **VERIFIED, sslrootcert=papers.authority.file, **{**shown, **more})


def no_client_certificate(papers: Papers, url: str) -> str:
    return _ada(papers, url)


def foreign_client_certificate(papers: Papers, url: str) -> str:
    return _ada(papers, url, papers.stranger)


def other_user(papers: Papers, url: str) -> str:
    return _ada(papers, url, papers.client).replace(f"{ADA}@", "eve@")


def other_key(papers: Papers, url: str) -> str:
    return _ada(papers, url, papers.client, sslkey=papers.server.key)


def wrong_password_of_key(papers: Papers, url: str) -> str:
    return _ada(papers, url, papers.locked, sslpassword="not-the-password")


def open_key(papers: Papers, url: str) -> str:
    key = papers.client.key.with_name("open.key")
    key.touch(0o644)
    key.write_bytes(papers.client.key.read_bytes())
    return _ada(papers, url, papers.client, sslkey=key)


REFUSED = {
    wrong_name: ("is not for the name 127.0.0.1", "a name that the certificate has"),
    unknown_authority: ("an authority that is not trusted", "sslrootcert="),
    no_authority: ("the URL names none", "sslrootcert=system"),
    file_is_away: ("nowhere.crt that sslrootcert names cannot be read", "check the path"),
    file_is_none: ("holds no certificate", "PEM"),
    no_client_certificate: ("asks for a client certificate", "sslcert="),
    foreign_client_certificate: ("does not accept the client certificate", "an authority that the server trusts"),
    other_user: ("refused the user with the client certificate", "common name"),
    other_key: ("cannot be used with the key", "belong together"),
    wrong_password_of_key: ("cannot be used with the key", "sslpassword"),
    open_key: ("Others may read the key", "chmod 600"),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
async def test_what_a_real_server_refuses_or_is_refused_for(
    encrypted_postgres: str, papers: Papers, case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with either side's certificate is one sentence with what to do, and nothing is repeated."""
    monkeypatch.setenv("HOME", str(tmp_path))
    error = await refusal(case(papers, encrypted_postgres))
    message, hint = REFUSED[case]
    assert message in error.message
    assert hint in (error.hint or "")


async def test_an_expired_certificate(papers: Papers, nothing: Behind) -> None:
    """A server whose certificate has expired is refused, and the sentence says so."""
    async with Front(nothing, server_context(papers.expired), asks_first=True).running() as front:
        url = f"postgresql://postgres@localhost:{front.port}/x"
        error = await refusal(with_parameters(url, **VERIFIED, sslrootcert=papers.authority.file))
    assert "has expired" in error.message
    assert "renew it" in (error.hint or "")


async def test_a_server_without_encryption(postgres_socket: Any, papers: Papers) -> None:
    """A server that was built or set up without encryption is refused where the URL asks for it."""
    import asyncio  # noqa: PLC0415

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://postgres@localhost:{port}/x"
        error = await refusal(with_parameters(url, **VERIFIED, sslrootcert=papers.authority.file))
    assert "does not speak TLS" in error.message


async def test_a_truth_behind_a_verified_connection(postgres_socket: Any, pg_schema: str, papers: Papers) -> None:
    """A service works on an encrypted truth, by a client certificate, its pool and its second connections included."""
    async with Front(
        postgres_socket, server_context(papers.server, papers.authority.file), asks_first=True
    ).running() as front:
        url = with_parameters(
            f"postgresql://postgres@localhost:{front.port}/postgres", **VERIFIED, sslrootcert=papers.authority.file,
            sslcert=papers.client.cert, sslkey=papers.client.key,
        )  # fmt: skip
        config = PersistenceConfig(vector_url=url, graph_url="none://", schema_name=pg_schema)
        async with AsyncPersistenceService.connect(config=config) as memories:
            stored = await memories.store("hello", user_id="ada")
            assert stored.outcome is Outcome.IN_STEP
            assert (await memories.get_all(user_id="ada")).memories[0].content == "hello"


def test_the_wheel_encrypts_nothing(postgres_url: str) -> None:
    """The server of the wheel is built without encryption: so it listens on a socket alone, and tests need another."""
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW ssl").fetchone() == ("off",)
