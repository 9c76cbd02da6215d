"""Whether secrets that are one thing in two files are the same in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from api.cli.configuring.secret_files import QDRANT, REDIS, Chosen, last_word

#: Of each URL: the host that is the stack's own, the file of its password, the profile that it needs.
_OWN = (
    ("vector_url", "postgres", "postgres_diptych_password", None),
    ("vector_url", "qdrant", "qdrant_config", QDRANT),
    ("graph_url", "neo4j", "neo4j_auth", None),
    ("rate_limit_storage", "redis", "redis_config", REDIS),
)


def disagreements(chosen: Chosen, known: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield file, sentence and hint of whatever does not go together."""
    for name, host, file, profile in _OWN:
        leads = name in known and _host(known[name]) == host
        if leads and profile and profile not in chosen:
            yield name, f"It leads to {host}, which is not started.", f"add {profile} to COMPOSE_PROFILES in .env"
        elif leads and file in known and _password(known[name]) != _said(known[file]):
            yield name, f"Its password is not that of {file}.", f"remove {name}, and diptych config generate"
        elif profile in chosen and name in known and not leads:
            yield name, f"It does not lead to {host}.", f"remove {name}, and diptych config generate"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")


def _said(text: str) -> str:
    """Return the password in a file, whatever stands before it there."""
    return last_word(text).rpartition("/")[2]
