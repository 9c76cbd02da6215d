"""Where a Neo4j is, and as whom it is spoken to: the parts of its URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from persistence.errors import ConfigurationError
from persistence.ports.observer import Location

SCHEMES = frozenset({"neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"})
DEFAULT_PORT = 7687


@dataclass(frozen=True, slots=True)
class Address:
    """``uri`` holds no credentials. ``database`` None: the user's home database."""

    uri: str
    auth: tuple[str, str] | None = field(repr=False)
    database: str | None

    @property
    def location(self) -> Location:
        """The same for traces."""
        parts = urlsplit(self.uri)
        return Location(parts.hostname, parts.port, self.database)


def parse(url: str) -> Address:
    """Take ``neo4j://user:password@host:port/database`` apart. Raises ConfigurationError, never showing the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise _wrong("is no URL") from error
    if parts.scheme not in SCHEMES:
        raise _wrong(f"must begin with one of {', '.join(f'{scheme}://' for scheme in sorted(SCHEMES))}")
    if not host:
        raise _wrong("names no host")
    where = f"[{host}]" if ":" in host else host
    routing = f"?{parts.query}" if parts.query else ""
    return Address(f"{parts.scheme}://{where}:{port}{routing}", _auth(parts), _database(parts))


def _auth(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _database(parts: SplitResult) -> str | None:
    name = parts.path.strip("/")
    if "/" in name or parts.fragment:
        raise _wrong("may name one database after the host, and nothing behind it")
    return unquote(name) or None


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The URL of the graph {why}.", hint="give it as neo4j://user:password@host:port/database"
    )
