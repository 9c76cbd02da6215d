"""Where a Qdrant server is, by which key and with what encryption it is spoken to: the parts of its URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from persistence.errors import ConfigurationError
from persistence.tls import Place, Tls, refuse_unencrypted, split

DEFAULT_PORT = 6333
#: Asks for nothing that needs a key.
_HELLO = b"GET /healthz HTTP/1.0\r\n\r\n"
_ENCRYPTED = {"qdrants", "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """``tls`` None: a connection without encryption. ``options``: what the URL's query says of collections."""

    host: str
    port: int
    key: str | None = field(repr=False)
    tls: Tls | None
    options: str

    @property
    def url(self) -> str:
        """The address as Qdrant's client takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"

    @property
    def place(self) -> Place:
        """The same for a look at its encryption."""
        return Place("Qdrant", self.host, self.port, _HELLO)


def parse(url: str) -> Address:
    """Take ``qdrants://:key@host:port/collection?options`` apart. Raises ConfigurationError, never showing the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ConfigurationError("The vector store's URL is no URL of Qdrant.", hint="qdrant://host:6333") from error
    if not parts.hostname:
        raise ConfigurationError("The vector store's URL names no host.", hint="qdrant://host:6333")
    options, tls = split(parts.query)
    encrypted = parts.scheme in _ENCRYPTED
    if not encrypted:
        refuse_unencrypted(tls, parts.scheme, "qdrants")
    key = unquote(parts.password or "") or None
    return Address(parts.hostname, port, key, tls if encrypted else None, options)
