"""Encryption on the way to a store: what a URL says of it, and what is wrong where it fails.

The words are those of PostgreSQL's client for every store: ``sslrootcert`` (the authority to trust), ``sslcert``,
``sslkey`` and ``sslpassword`` (the client's own certificate), as parameters of the URL.

Drivers tell little of a handshake that failed, and an alert that comes after it is lost on the way. So, instead of
reading their texts, we look: a handshake of our own says by its codes what is wrong.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import anyio.to_thread

from persistence.errors import ConfigurationError

PARAMETERS = ("sslrootcert", "sslcert", "sslkey", "sslpassword")
#: In the place of a file: the authorities that this machine trusts.
SYSTEM = "system"
#: OpenSSL's codes of a certificate that could not be verified.
_EXPIRED, _EARLY, _OTHER_NAME = 10, 9, (62, 64)
#: Seconds for which a server may say that it does not want us, before we say anything.
_ALERT_TIME = 0.5
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)


class Fault(NamedTuple):
    """Why an encrypted connection cannot be had: what happened, and what to do."""

    message: str
    hint: str


class TlsError(Exception):
    """An encrypted connection cannot be had; each store makes an error of its own of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Tls:
    """What to trust, and what to show. ``names``: whether the certificate must be for the host's name.

    ``checked`` False: any certificate will do.
    """

    rootcert: str | None = None
    cert: str | None = None
    key: str | None = None
    password: str | None = field(default=None, repr=False)
    names: bool = True
    checked: bool = True

    def context(self) -> ssl.SSLContext:
        """Return what makes connections of it. Reads the files. Raises TlsError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.names and self.checked
        context.verify_mode = ssl.CERT_REQUIRED if self.checked else ssl.CERT_NONE
        if self.checked:
            self._trust(context)
        if self.cert is not None:
            self._show(context, self.cert)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.rootcert in (None, SYSTEM):
            context.load_default_certs()
            return
        _readable("sslrootcert", self.rootcert)
        try:
            context.load_verify_locations(self.rootcert)
        except ssl.SSLError as error:
            raise TlsError(_no_certificate("sslrootcert", self.rootcert)) from error

    def _show(self, context: ssl.SSLContext, cert: str) -> None:
        key = self.key or cert
        _readable("sslcert", cert)
        _readable("sslkey", key)
        try:
            # Without a password of ours the library would ask for one at the terminal.
            context.load_cert_chain(cert, key, password=self.password or "")
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(_unfit_key(cert, key)) from error


def split(query: str) -> tuple[str, Tls]:
    """Return a URL's query without what it says of encryption, and that. Raises ConfigurationError."""
    given = [part.partition("=") for part in query.split("&")]
    # As libpq has it: a plus stands for itself. What is not ours stays as it is written.
    ours = {name: unquote(value) for name, _, value in given if name in PARAMETERS}
    rest = "&".join("".join(part) for part in given if part[0] not in PARAMETERS)
    if ours.get("sslkey") and not ours.get("sslcert"):
        raise ConfigurationError("The URL names sslkey, but no sslcert.", hint="name both, or neither")
    return rest, Tls(
        ours.get("sslrootcert") or None,
        ours.get("sslcert") or None,
        ours.get("sslkey") or None,
        ours.get("sslpassword") or None,
    )


def refuse_unencrypted(tls: Tls, scheme: str, encrypted: str) -> None:
    """Refuse what is said of encryption in a URL whose scheme has none. Raises ConfigurationError."""
    if tls != Tls():
        raise ConfigurationError(
            f"A URL that begins with {scheme}:// is not encrypted, so it takes no sslrootcert, sslcert or sslkey.",
            hint=f"begin it with {encrypted}://",
        )


def _readable(name: str, path: str | None) -> None:
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123  # a path as OpenSSL takes it
            file.read(1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        raise TlsError(
            Fault(f"The file {path} that {name} names cannot be read ({why}).", "check the path and its permissions")
        ) from error


def _no_certificate(name: str, path: str | None) -> Fault:
    return Fault(f"The file {path} that {name} names holds no certificate.", "it must be in the PEM format")


def _unfit_key(cert: str, key: str) -> Fault:
    return Fault(
        f"The client certificate in {cert} cannot be used with the key in {key}.",
        "both must be in the PEM format and belong together; a key with a password needs sslpassword as well",
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. ``address``: where ``host`` is, if that is not to be looked up.

    ``begin``: what asks for encryption first, where the protocol has that; the server then says ``S``. ``hello``: what
    has the server answer once the connection is encrypted.
    """

    who: str
    host: str
    port: int
    hello: bytes
    begin: bytes = b""
    address: str | None = None

    def __str__(self) -> str:
        return f"{self.who} at {self.host}:{self.port}"


async def find(place: Place, tls: Tls, timeout: float) -> Fault | None:
    """Say what is wrong with the encryption there; None where nothing is, or where nobody answers."""
    found, _ = await anyio.to_thread.run_sync(look, place, tls, timeout, abandon_on_cancel=True)
    return found


def look(place: Place, tls: Tls, timeout: float) -> tuple[Fault | None, bytes]:
    """Make a connection of our own; return what is wrong with it, and the beginning of what the server says on it."""
    try:
        context = tls.context()
    except TlsError as error:
        return error.fault, b""
    try:
        with socket.create_connection((place.address or place.host, place.port), timeout) as plain:
            return _shake_hands(plain, place, tls, context)
    except OSError:
        return None, b""  # nobody there: no matter of encryption


def _shake_hands(plain: socket.socket, place: Place, tls: Tls, context: ssl.SSLContext) -> tuple[Fault | None, bytes]:
    if place.begin:
        plain.sendall(place.begin)
        if plain.recv(1) != b"S":
            return _plain(place), b""
    try:
        with context.wrap_socket(plain, server_hostname=place.host) as encrypted:
            return _greet(encrypted, place, tls)
    except TimeoutError:
        return None, b""
    except (ssl.SSLError, ConnectionError) as error:
        return of_error(error, place, tls), b""


def _greet(encrypted: ssl.SSLSocket, place: Place, tls: Tls) -> tuple[Fault | None, bytes]:
    """Say hello and return the answer; a server that does not want the client's certificate hangs up.

    It says why, in TLS 1.3 after the handshake: so we listen first, because what it has to say is lost where it hangs
    up on something unread.
    """
    patience = encrypted.gettimeout()
    encrypted.settimeout(_ALERT_TIME)
    try:
        said = encrypted.recv(1)
    except TimeoutError:
        encrypted.settimeout(patience)
        encrypted.sendall(place.hello)
        said = encrypted.recv(1_024)
    except ConnectionError:
        said = b""
    return (None, said) if said else (_turned_away(place, tls), b"")


def of_chain(error: BaseException, place: Place, tls: Tls) -> Fault | None:
    """Say what is wrong with the encryption by what lies under a driver's error; None where that says nothing."""
    found = next((one for one in _under(error) if isinstance(one, ssl.SSLError)), None)
    return None if found is None else of_error(found, place, tls)


def _under(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        if isinstance(at, BaseExceptionGroup):
            for one in at.exceptions:
                yield from _under(one)
        at = at.__cause__ or at.__context__


def of_error(error: ssl.SSLError | ConnectionError, place: Place, tls: Tls) -> Fault:
    """Say what is wrong by the code of a handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error.verify_code, place)
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason:
        return _turned_away(place, tls)
    return _plain(place)


def _unverified(code: int, place: Place) -> Fault:
    whose = f"The certificate of {place}"
    if code in _OTHER_NAME:
        return Fault(
            f"{whose} is not for the name {place.host}.",
            "connect by a name that the certificate has, or have it made for this one",
        )
    if code in _UNKNOWN_AUTHORITY:
        return Fault(
            f"{whose} was signed by an authority that is not trusted here.",
            "name the authority's certificate in the URL: sslrootcert=/path/to/ca.pem",
        )
    if code in (_EXPIRED, _EARLY):
        return Fault(
            f"{whose} {'has expired' if code == _EXPIRED else 'is not valid yet'}.",
            "renew it on the server, and look at both machines' clocks",
        )
    return Fault(f"{whose} cannot be verified (OpenSSL's code {code}).", "look at it by `openssl s_client`")


def _turned_away(place: Place, tls: Tls) -> Fault:
    if tls.cert is None:
        return Fault(
            f"{place} hung up on the encrypted connection: it asks for a client certificate, and none was given.",
            "name one in the URL: sslcert=/path/to/client.pem&sslkey=/path/to/client.key; or look at the server's log",
        )
    return Fault(
        f"{place} does not accept the client certificate in {tls.cert}.",
        "use one that is valid and signed by an authority that the server trusts",
    )


def _plain(place: Place) -> Fault:
    return Fault(
        f"{place} does not speak TLS there.",
        "check the port, and that encryption is switched on in the server; or use a URL without it",
    )
