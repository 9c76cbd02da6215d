"""What `doctor` finds out, one fact a line, each with the next command where something is to be done."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from api.cli._options import CommonOptions
from persistence.errors import PersistenceError
from persistence.ports.embedder import Embedder
from persistence.ports.schema import SchemaState
from persistence.ports.vector import StoreInfo
from persistence.results import HealthStatus, OutboxStats, StoreHealth
from persistence.secretfiles import SUFFIX, is_secret
from persistence.settings import PersistenceConfig
from persistence.urls import Source, graph_source, mask, scheme, vector_source

_PREFIX = "DIPTYCH_"
#: Read by the tests, by the HTTP server and by tools beside the service.
_OTHERS = ("DIPTYCH_TEST_", "DIPTYCH_API_", "DIPTYCH_BACKUP_PASSPHRASE")
_LOOK = "check that the server is up, and its URL"


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    """It works; something may be other than meant."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """It could not be looked at, because of what failed before it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact. ``hint`` is the next command, or what else to do."""

    name: str
    state: State
    detail: str
    hint: str | None = None


def failed(name: str, error: PersistenceError) -> Check:
    """Return the check that found this error."""
    return Check(name, State.FAIL, error.message, error.hint)


def skipped(*names: str) -> list[Check]:
    """Return checks that could not be made."""
    return [Check(name, State.SKIPPED, "not looked at") for name in names]


def python() -> Check:
    """Say what runs; that it can be imported is the proof that it is new enough."""
    system = f"{platform.system()} {platform.machine()}"
    return Check("python", State.OK, f"{platform.python_version()} on {system}, diptych {version('diptych')}")


def settings(config: PersistenceConfig, options: CommonOptions, environ: Mapping[str, str]) -> list[Check]:
    """Say which stores are meant, and where each was said."""
    vector, graph = vector_source(config, environ), graph_source(config, environ)
    return [
        Check("vector url", State.OK, _said(vector, options.vector_url, "vector_url", environ)),
        Check("graph url", State.OK, _said(graph, options.graph_url, "graph_url", environ)),
        _names(environ),
    ]


def _variable(name: str, environ: Mapping[str, str]) -> str:
    variable = f"{_PREFIX}{name.upper()}"
    return variable if environ.get(variable) else f"{variable}{SUFFIX}"


def _said(source: Source, flag: str | None, name: str, environ: Mapping[str, str]) -> str:
    url = source.url.get_secret_value()
    shown = mask(url)
    origin = source.origin
    if origin == "setting":
        origin = f"--{name.replace('_', '-')}" if flag else _variable(name, environ)
    return f"{shown} (the default)" if origin == "default" else f"{shown} (from {origin})"


def _names(environ: Mapping[str, str]) -> Check:
    """Warn of variables that look like settings and are none: a misspelt one is silently without effect."""
    given = sorted(name for name in environ if name.startswith(_PREFIX) and not name.startswith(_OTHERS))
    fields = PersistenceConfig.model_fields.items()
    files = {f"{_PREFIX}{name.upper()}{SUFFIX}" for name, field in fields if is_secret(field)}
    known = {_PREFIX + name.upper() for name, _ in fields} | files
    strange = [name for name in given if name not in known]
    if strange:
        return Check("settings", State.WARN, f"{', '.join(strange)}: no such setting", f"unset {' '.join(strange)}")
    return Check("settings", State.OK, ", ".join(given) or "all at their defaults")


def store(name: str, health: StoreHealth) -> Check:
    """Say whether a store answers, and which version it is."""
    if health.status is HealthStatus.DISABLED:
        return Check(name, State.OK, "disabled")
    if health.status is HealthStatus.UNHEALTHY:
        return Check(name, State.FAIL, health.error or "it does not answer", health.hint or _LOOK)
    latency = "" if health.latency_ms is None else f", answers in {health.latency_ms:.1f} ms"
    return Check(name, State.OK, f"{health.kind} {health.version or ''}".strip() + latency)


def schema(found: SchemaState, *, auto_upgrade: bool) -> Check:
    """Compare the schema that is there with the one that this code needs; version 0 is none."""
    there = f"version {found.version}" if found.version else "there is none"
    if found.too_new:
        return Check("schema", State.FAIL, f"{there}, newer than {found.known}", "upgrade diptych on this machine")
    if found.lacking and auto_upgrade:
        return Check("schema", State.WARN, f"{there}; it is made on the first use", "diptych schema upgrade")
    if found.lacking:
        return Check("schema", State.FAIL, f"{there}, {found.known} is needed", "diptych schema upgrade")
    if found.pending:
        waiting = f"{there}; {len(found.pending)} step(s) wait until no older process is left"
        return Check("schema", State.WARN, waiting, "diptych schema apply --phase post")
    if found.newer:
        return Check("schema", State.OK, f"{there}, newer than {found.known}, and still fit for it")
    return Check("schema", State.OK, there if found.version else "the store sees to it by itself")


def embedding(info: StoreInfo, embedder: Embedder) -> Check:
    """Compare the model that the store was made with with the one configured."""
    ours = f"{embedder.model}, {embedder.dimension} dimensions"
    if info.embedding_model is None:
        return Check("embedding", State.OK, f"{ours}; the store is bound to it on its first use")
    if (info.embedding_model, info.dimension) == (embedder.model, embedder.dimension):
        return Check("embedding", State.OK, ours)
    theirs = f"the store holds {info.embedding_model}, {info.dimension} dimensions"
    return Check(
        "embedding", State.FAIL, f"{theirs}; configured is {ours}", "set DIPTYCH_EMBEDDING_MODEL to the store's"
    )


def vector_index(info: StoreInfo) -> Check:
    """Say whether a search by meaning is quick."""
    if info.vector_index == "missing":
        return Check(
            "vector index",
            State.WARN,
            "missing: a bulk load goes on, or died; searches are slow",
            "diptych schema upgrade",
        )
    return Check("vector index", State.OK, info.vector_index)


def durability(sentences: list[str]) -> Check:
    """Warn of a truth that may lose what it acknowledged."""
    if sentences:
        return Check("durability", State.WARN, " ".join(sentences), "change that, unless the data may be lost")
    return Check("durability", State.OK, "what is acknowledged is durable")


def graph_identity(info: StoreInfo) -> Check:
    """Say which graph belongs to this truth."""
    if info.graph is None:
        return Check("graph identity", State.OK, "this truth never had a graph of its own")
    return Check("graph identity", State.OK, f"this truth's graph is {info.graph.graph_id}")


def outbox(stats: OutboxStats | None) -> Check:
    """Say how much is in doubt."""
    if stats is None:
        return Check("outbox", State.WARN, "it could not be read", "diptych status")
    if stats.dead:
        return Check("outbox", State.WARN, f"{stats.dead:,} dead entries", "diptych dead-letters list")
    if stats.pending:
        age = "" if stats.oldest_age_s is None else f", the oldest for {stats.oldest_age_s:.0f} s"
        return Check("outbox", State.WARN, f"{stats.pending:,} pending{age}", "diptych relay")
    return Check("outbox", State.OK, "empty: nothing is in doubt")


def local_servers(
    config: PersistenceConfig, environ: Mapping[str, str], tools: Mapping[str, str | None]
) -> Check | None:
    """Say whether a real graph could be started here; only where no graph server is configured."""
    if scheme(graph_source(config, environ).url.get_secret_value()) != "memory":
        return None
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        needed = f"{' and '.join(missing)} not found: a local Neo4j needs Java 17 and Maven"
        return Check("local graph", State.WARN, needed, "install them, or give --graph-url")
    return Check("local graph", State.OK, "Java and Maven are there: diptych local up neo4j starts a real graph")
