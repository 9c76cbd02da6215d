"""URLs choose adapters; where none is given, the names that people have in their environment already do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import SecretStr

from persistence.errors import ConfigurationError
from persistence.secretfiles import secret
from persistence.settings import PersistenceConfig

EMBEDDED = "embedded://"
MEMORY = "memory://"
NONE = "none://"
#: In the place of a URL: the backend is chosen by what is there (persistence/choosing/auto.py).
AUTO = "auto"
POSTGRES_SCHEMES = frozenset({"postgresql", "postgres"})
QDRANT_SCHEMES = frozenset({"qdrant", "qdrants"})
NEO4J_SCHEMES = frozenset({"neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"})
#: Of servers that ask for a password.
_SERVERS = POSTGRES_SCHEMES | QDRANT_SCHEMES | NEO4J_SCHEMES
_QDRANT_OF_HTTP = {"http": "qdrant", "https": "qdrants"}


class Source(NamedTuple):
    """A URL and where it came from (``setting``, an environment variable's name, ``default``)."""

    url: SecretStr
    origin: str


def scheme(url: str) -> str:
    """Return the part before ``://``, in lower case."""
    return url.partition("://")[0].lower()


def mask(url: str) -> str:
    """Return the URL without its password and without its query, safe to print; nothing of what is no URL."""
    if "://" not in url:
        return "…"  # perhaps a password, put where the URL belongs
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return f"{scheme(url)}://…"
    user = f"{parts.username}:***@" if parts.password else f"{parts.username}@" if parts.username else ""
    if not parts.netloc:
        return f"{parts.scheme}://{parts.path}"
    where = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{user}{where}{f':{port}' if port else ''}", parts.path, "", ""))


def folder(url: str) -> Path:
    """Return the folder that a ``file:///…`` URL names. Raises ConfigurationError where it is none of this machine."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    root = not Path(os.path.normpath(path)).name  # also `//` and `/x/..`
    if parts.netloc not in {"", "localhost"} or not path.is_absolute() or root or "\0" in str(path):
        raise ConfigurationError(f"{mask(url)} names no folder of this machine.", hint="use file:///path/to/folder")
    return path


def without_auto(config: PersistenceConfig) -> PersistenceConfig:
    """Return the settings as if URLs that say ``auto`` were not set."""
    found = {name: url for name in ("vector_url", "graph_url") if (url := getattr(config, name))}
    auto = [name for name, url in found.items() if url.get_secret_value().lower() == AUTO]
    return config.model_copy(update=dict.fromkeys(auto)) if auto else config


def vector_source(config: PersistenceConfig, environ: Mapping[str, str]) -> Source:
    """Say which truth is meant: the setting, DATABASE_URL, PG*, POSTGRES_*, QDRANT_URL, else the embedded default.

    Raises ConfigurationError: a file that is to hold one of them cannot be used.
    """
    return _completed(_vector_source(config, environ), config.vector_password)


def _vector_source(config: PersistenceConfig, environ: Mapping[str, str]) -> Source:
    if config.vector_url:
        return Source(config.vector_url, "setting")
    database = secret(environ, "DATABASE_URL") or ""
    if scheme(database) in POSTGRES_SCHEMES:
        return Source(SecretStr(database), "DATABASE_URL")
    if environ.get("PGHOST") or environ.get("PGSERVICE"):
        # libpq reads the PG* variables itself, passwords and certificates included.
        return Source(SecretStr("postgresql://"), "PGHOST" if environ.get("PGHOST") else "PGSERVICE")
    if environ.get("POSTGRES_HOST"):
        return Source(SecretStr(_postgres_url(environ)), "POSTGRES_HOST")
    if qdrant := secret(environ, "QDRANT_URL"):
        return Source(SecretStr(_qdrant_url(qdrant)), "QDRANT_URL")
    return Source(SecretStr(EMBEDDED), "default")


def graph_source(config: PersistenceConfig, environ: Mapping[str, str]) -> Source:
    """Say which graph is meant: the setting, NEO4J_URI, else one beside the embedded truth, or one in memory.

    Raises ConfigurationError: a file that is to hold one of them cannot be used.
    """
    return _completed(_graph_source(config, environ), config.graph_password)


def _graph_source(config: PersistenceConfig, environ: Mapping[str, str]) -> Source:
    if not config.enable_graph_store:
        return Source(SecretStr(NONE), "enable_graph_store")
    if config.graph_url:
        return Source(config.graph_url, "setting")
    if neo4j := secret(environ, "NEO4J_URI"):
        return Source(SecretStr(_neo4j_url(neo4j, environ)), "NEO4J_URI")
    embedded = scheme(_vector_source(config, environ).url.get_secret_value()) == "embedded"
    return Source(SecretStr(EMBEDDED if embedded else MEMORY), "default")


def _completed(source: Source, password: SecretStr | None) -> Source:
    """Return a URL with the password that was set apart from it, where it names a server and has none."""
    url = source.url.get_secret_value()
    if password is None or source.origin == "default" or scheme(url) not in _SERVERS:
        return source
    try:
        parts = urlsplit(url)
        if parts.password is not None or (parts.scheme in QDRANT_SCHEMES and not parts.netloc):
            return source
    except ValueError:
        return source  # whoever connects says what is wrong with it
    user, _, place = parts.netloc.rpartition("@")
    host = f"{user}:{quote(password.get_secret_value(), safe='')}@{place}"
    return source._replace(url=SecretStr(parts._replace(netloc=host).geturl()))


def _postgres_url(environ: Mapping[str, str]) -> str:
    user = _credentials(environ.get("POSTGRES_USER", ""), secret(environ, "POSTGRES_PASSWORD") or "")
    database = environ.get("POSTGRES_DB") or environ.get("POSTGRES_DATABASE") or ""
    port = environ.get("POSTGRES_PORT")
    return f"postgresql://{user}{environ['POSTGRES_HOST']}{f':{port}' if port else ''}/{quote(database, safe='')}"


def _qdrant_url(given: str) -> str:
    """Qdrant's own programs are given the address of its HTTP."""
    kind, mark, rest = given.partition("://")
    return f"{_QDRANT_OF_HTTP.get(kind.lower(), kind)}{mark}{rest}" if mark else f"qdrant://{kind}"


def _neo4j_url(given: str, environ: Mapping[str, str]) -> str:
    parts = urlsplit(given)
    if parts.username:
        return given
    name = environ.get("NEO4J_USERNAME") or environ.get("NEO4J_USER") or "neo4j"
    password = secret(environ, "NEO4J_PASSWORD") or ""
    user = _credentials(name, password) if password else ""
    path = parts.path if parts.path.strip("/") else f"/{environ.get('NEO4J_DATABASE', '')}"
    return urlunsplit((parts.scheme, f"{user}{parts.netloc}", path, parts.query, ""))


def _credentials(user: str, password: str) -> str:
    if not user:
        return ""
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else f"{quote(user, safe='')}@"
