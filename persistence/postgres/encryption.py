"""What is wrong where PostgreSQL's client cannot encrypt: it tells by text only, so we look for ourselves."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from persistence.tls import SYSTEM, Fault, Place, Tls, look

_PORTS = range(1, 65_536)
_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL = 196608
#: The modes in which the client does without a connection rather than without encryption; those that verify.
_ENCRYPTED = {"require", "verify-ca", "verify-full"}
_VERIFIED = {"verify-ca", "verify-full"}
#: "invalid_authorization_specification", as the server's message has it: no line of pg_hba.conf lets this user in.
_NOT_ADMITTED = b"\0C28000\0"
#: Others may not read a key; root's may be read by its group.
_OTHERS, _OTHERS_OF_ROOT = 0o077, 0o027
_DEFAULT_ROOT = Path("~/.postgresql/root.crt")
_DEFAULTS = {"sslcert": Path("~/.postgresql/postgresql.crt"), "sslkey": Path("~/.postgresql/postgresql.key")}


async def find(info: str, timeout: float) -> Fault | None:
    """Say what is wrong with the encryption of a connection; None where nothing is, or none was asked for."""
    return await anyio.to_thread.run_sync(_find, info, timeout, abandon_on_cancel=True)


def _find(info: str, timeout: float) -> Fault | None:
    given = _parameters(info)
    if given.get("sslmode") not in _ENCRYPTED or given.get("sslnegotiation") == "direct":
        return None  # nothing to look at, or a way to begin that we do not speak
    tls = _tls(given)
    fault = _unfit(given, tls)
    places = [] if fault else _places(given)
    for place in places:
        fault, said = look(place, tls, timeout)
        if fault is None and said[:1] == b"E" and _NOT_ADMITTED in said:
            fault = _not_admitted(place, tls)
        if fault is not None:
            break
    return fault


def _parameters(info: str) -> Mapping[str, Any]:
    """Return what the client goes by: its own defaults, those of the environment, and what the URL says."""
    defaults = {one.keyword.decode(): one.val.decode() for one in Conninfo.get_defaults() if one.val}
    return {**defaults, **conninfo_to_dict(info)}


def _tls(given: Mapping[str, Any]) -> Tls:
    root = given.get("sslrootcert") or str(_DEFAULT_ROOT.expanduser())
    there = root == SYSTEM or Path(root).exists()
    cert, key = (given.get(name) or _default(file) for name, file in _DEFAULTS.items())
    return Tls(
        root,
        cert,
        key,
        given.get("sslpassword"),
        names=given["sslmode"] == "verify-full",
        checked=given["sslmode"] in _VERIFIED or there,
    )


def _default(file: Path) -> str | None:
    return str(file.expanduser()) if file.expanduser().exists() else None


def _unfit(given: Mapping[str, Any], tls: Tls) -> Fault | None:
    if given["sslmode"] in _VERIFIED and not given.get("sslrootcert") and not _DEFAULT_ROOT.expanduser().exists():
        return Fault(
            f"sslmode={given['sslmode']} needs the certificate of an authority to trust, and the URL names none.",
            "add sslrootcert=/path/to/ca.pem to the URL, or sslrootcert=system for those that this machine trusts",
        )
    if tls.key is not None and Path(tls.key).exists() and _is_open(Path(tls.key)):
        return Fault(f"Others may read the key in {tls.key}, so it is not used.", f"chmod 600 {tls.key}")
    return None


def _is_open(key: Path) -> bool:
    about = key.stat()
    return bool(about.st_mode & (_OTHERS if about.st_uid else _OTHERS_OF_ROOT))


def _places(given: Mapping[str, Any]) -> list[Place]:
    """Return the servers that the URL names, those on a socket of this machine apart: there nothing is encrypted."""
    hosts = str(given.get("host") or given.get("hostaddr") or "").split(",")
    addresses, ports = str(given.get("hostaddr") or "").split(","), str(given.get("port") or "5432").split(",")
    user = str(given.get("user") or "")
    hello = _startup(user, str(given.get("dbname") or user))
    return [
        Place("PostgreSQL", host, port, hello, _REQUEST, _at(addresses, number) or None)
        for number, host in enumerate(hosts)
        if host and not host.startswith(("/", "@")) and (port := _port(_at(ports, number)))
    ]


def _port(text: str) -> int | None:
    """Return a port, an empty one being the usual; None of what is none, which the client refuses by itself."""
    text = text.strip() or "5432"
    return int(text) if text.isascii() and text.isdecimal() and int(text) in _PORTS else None


def _at(values: list[str], number: int) -> str:
    return values[number] if number < len(values) else values[0]


def _startup(user: str, database: str) -> bytes:
    """Return the message that begins a session."""
    body = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    return struct.pack("!ii", len(body) + 8, _PROTOCOL) + body


def _not_admitted(place: Place, tls: Tls) -> Fault:
    if tls.cert is None:
        return Fault(
            f"{place} refused the user: it asks for a client certificate, or no line of its pg_hba.conf is for this"
            " user.",
            "add sslcert=/path/to/client.pem&sslkey=/path/to/client.key to the URL, or a line to pg_hba.conf",
        )
    return Fault(
        f"{place} refused the user with the client certificate in {tls.cert}.",
        "its common name must be that of the user, or be mapped to it in pg_ident.conf; else look at pg_hba.conf",
    )
