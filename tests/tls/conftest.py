"""Real servers that encrypt, with certificates of an authority of this run's."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest

from persistence.errors import ConfigurationError
from persistence.local import Neo4jServer, PostgresServer
from tests import planted
from tests.conftest import NEO4J_JVM, POSTGRES_OPTIONS, cache_folder, installed, missing, started
from tests.tls.certificates import Authority, Pair
from tests.tls.fronts import Behind, Streams

#: A user of PostgreSQL whom only a certificate lets in.
ADA = "ada"
_RULES = f"""
local   all all             trust
hostssl all {ADA}  127.0.0.1/32 cert
hostssl all {ADA}  ::1/128      cert
hostssl all postgres 127.0.0.1/32 trust
hostssl all postgres ::1/128      trust
host    all all  all          reject
"""


@dataclass(frozen=True, slots=True)
class Papers:
    """The certificates of a run: of one authority, and of another that nobody trusts."""

    authority: Authority
    other: Authority
    server: Pair
    elsewhere: Pair
    expired: Pair
    client: Pair
    locked: Pair
    password: str
    stranger: Pair


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Make certificates of every kind; ``server`` is for ``localhost`` alone, not for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("papers")
    authority, other = Authority(folder), Authority(folder, "other")
    password = secrets.token_urlsafe(12)
    planted.plant(password, "the password of a client's key")
    return Papers(
        authority,
        other,
        authority.issue("server", "localhost"),
        authority.issue("elsewhere", "elsewhere.test"),
        authority.issue("expired", "localhost", expired=True),
        authority.issue("client", common=ADA),
        authority.issue("locked", common=ADA, password=password),
        password,
        other.issue("stranger", common=ADA),
    )


def with_parameters(url: str, **parameters: str | Path) -> str:
    """Return a URL with parameters added to its query."""
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    query = urlencode({**given, **{name: str(value) for name, value in parameters.items()}}, safe="/:")
    return parts._replace(query=query).geturl()


class EncryptedPostgres(PostgresServer):
    """Debian's PostgreSQL, which encrypts; the wheel's is built without it."""

    def url(self) -> str:
        return f"postgresql://postgres@localhost:{self.port}/postgres"


def debian_programs() -> Path:
    """Return the folder of Debian's PostgreSQL, installed where it was not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        if reason := installed("postgresql"):
            missing(f"Debian's PostgreSQL cannot be had, and the wheel's was built without encryption. {reason}")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent


@pytest.fixture(scope="session")
def encrypted_postgres(papers: Papers) -> Iterator[str]:
    """Start a PostgreSQL that takes encrypted connections only; return its URL, without parameters."""
    programs = debian_programs()

    def make(folder: Path) -> EncryptedPostgres:
        rules = folder / "pg_hba.conf"
        rules.write_text(_RULES)
        key, cert, ca = (
            _copied(path, folder) for path in (papers.server.key, papers.server.cert, papers.authority.file)
        )
        options = {
            **POSTGRES_OPTIONS,
            "listen_addresses": "localhost",
            "hba_file": str(rules),
            "ssl": "on",
            "ssl_key_file": str(key),
            "ssl_cert_file": str(cert),
            "ssl_ca_file": str(ca),
        }
        server = EncryptedPostgres(folder, port=0, options=options, programs=programs)
        if (user := server.user()) is not None:
            for path in (rules, key, cert, ca):
                os.chown(path, user, -1)
        return server

    with started(make) as server:
        with psycopg.connect(f"{server.url}?sslmode=require", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ADA} LOGIN SUPERUSER")
        yield server.url


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.touch(0o600 if path.suffix == ".key" else 0o644)
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.fixture(scope="session")
def encrypted_neo4j(papers: Papers) -> Iterator[str]:
    """Start a Neo4j that asks for a client certificate; return the URL of its Bolt, user and password included."""

    def make(folder: Path) -> Neo4jServer:
        policy = folder / "policy"
        (policy / "trusted").mkdir(parents=True)
        (policy / "revoked").mkdir()
        for path in (papers.server.key, papers.server.cert):
            _copied(path, policy)
        _copied(papers.authority.file, policy / "trusted")
        options = {
            "server.bolt.tls_level": "REQUIRED",
            "dbms.ssl.policy.bolt.enabled": "true",
            "dbms.ssl.policy.bolt.base_directory": str(policy),
            "dbms.ssl.policy.bolt.private_key": papers.server.key.name,
            "dbms.ssl.policy.bolt.public_certificate": papers.server.cert.name,
            "dbms.ssl.policy.bolt.client_auth": "REQUIRE",
        }
        program = cache_folder() / "neo4j"
        return Neo4jServer(folder, port=0, program=program, jvm=NEO4J_JVM, options=options)

    with ExitStack() as stack:
        try:
            server = stack.enter_context(started(make))
        except ConfigurationError as error:
            missing(f"{error.message} Try: {error.hint}.")
        planted.plant(urlsplit(server.url).password, "the password of Neo4j")
        yield server.url.replace("127.0.0.1", "localhost")


@pytest.fixture
def nothing() -> Behind:
    """Stand for what is behind a front that nobody gets through."""

    async def refused() -> Streams:
        raise ConnectionRefusedError

    return refused


@pytest.fixture
def postgres_socket(postgres_url: str) -> Callable[[], object]:
    """Return what connects to the wheel's PostgreSQL, which has pgvector, on its socket."""
    with psycopg.connect(postgres_url) as connection:
        folder, port = connection.info.host, connection.info.port
    if not folder.startswith("/"):
        return lambda: asyncio.open_connection(folder, port)
    return lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
