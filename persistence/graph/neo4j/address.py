"""Where a Neo4j is, and as whom it is spoken to: the parts of its URL."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, unquote, urlsplit

from persistence.errors import ConfigurationError
from persistence.ports.observer import Location
from persistence.tls import Place, Tls, refuse_unencrypted, split

SCHEMES = frozenset({"neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"})
DEFAULT_PORT = 7687
#: Any certificate will do; the certificate must be the host's.
_UNCHECKED, _CHECKED = "+ssc", "+s"
#: The beginning of Bolt, and one version: whatever the server says to it, it says it encrypted.
_HELLO = bytes.fromhex("6060b017 00000405 00000000 00000000 00000000")


@dataclass(frozen=True, slots=True)
class Address:
    """``uri`` holds no credentials, and nothing of encryption: ``tls``, None for a connection without it.

    ``database`` None: the user's home database.
    """

    uri: str
    auth: tuple[str, str] | None = field(repr=False)
    database: str | None
    tls: Tls | None = None

    @property
    def place(self) -> Place:
        """The same for a look at its encryption."""
        parts = urlsplit(self.uri)
        return Place("Neo4j", parts.hostname or "", parts.port or DEFAULT_PORT, _HELLO)

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
    rest, tls = _encryption(parts)
    routing = f"?{rest}" if rest else ""
    return Address(f"{parts.scheme.partition('+')[0]}://{where}:{port}{routing}", _auth(parts), _database(parts), tls)


def _encryption(parts: SplitResult) -> tuple[str, Tls | None]:
    """Return the query without what it says of encryption, and that."""
    rest, tls = split(parts.query)
    if parts.scheme.endswith(_CHECKED):
        return rest, tls
    if parts.scheme.endswith(_UNCHECKED):
        if tls.rootcert is not None:
            raise _wrong("takes any certificate by +ssc, so it may name no sslrootcert")
        return rest, replace(tls, checked=False)
    refuse_unencrypted(tls, parts.scheme, f"{parts.scheme}{_CHECKED}")
    return rest, None


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
