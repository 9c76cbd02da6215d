"""`doctor`: ticks off what has to be right, and names the next command where it is not."""

from __future__ import annotations

import os
import shutil
from typing import Annotated, Protocol, runtime_checkable

import typer

from api.cli import _capabilities, _checks
from api.cli._checks import Check, State, failed, skipped
from api.cli._output import one_line, styled
from api.cli._run import TROUBLE, Cli, command
from persistence import AsyncPersistenceService, factory
from persistence.choosing import settled
from persistence.errors import ConfigurationError, EmbeddingMismatchError, GraphStoreError, PersistenceError
from persistence.ports.capabilities import Capability
from persistence.ports.vector import VectorStore
from persistence.settings import PersistenceConfig

app = typer.Typer()

_MARKS = {
    State.OK: ("✓", "green"),
    State.WARN: ("!", "yellow"),
    State.FAIL: ("✗", "bold red"),
    State.SKIPPED: ("-", "dim"),
}

_BEHIND_SCHEMA = ("embedding", "vector index", "durability", "graph store", "graph identity", "outbox")
#: Of PostgreSQL alone.
_EXTENSION = "extension"
_ORDER = ("vector store", "schema", _EXTENSION, *_BEHIND_SCHEMA)
#: How the truth names itself that needs an extension of its server.
_EXTENDED = "pgvector"


@runtime_checkable
class Durable(Protocol):
    """A truth that can say how sure its commits are."""

    async def durability(self) -> list[str]:
        """Return a sentence for each setting that lets an acknowledged commit be lost."""
        ...


@command(app)
async def doctor(
    cli: Cli,
    *,
    capabilities: Annotated[
        bool, typer.Option("--capabilities", help="Show what the two backends can do instead; connects to neither.")
    ] = False,
) -> int | None:
    """Look at everything that has to be right: settings, both stores, schema, embeddings, what is in doubt.

    Changes nothing. Exits with 2 where something is wrong; a warning (!) is not.
    """
    if capabilities:
        await _show_capabilities(cli)
        return None
    checks = [_checks.python(), *await _configured(cli)]
    wrong = any(check.state is State.FAIL for check in checks)
    if cli.json:
        cli.output.data({"ok": not wrong, "checks": [_as_json(cli, check) for check in checks]})
    else:
        for check in checks:
            _show(cli, check)
    return TROUBLE if wrong else None


async def _show_capabilities(cli: Cli) -> None:
    vector, graph = await _capabilities.configured(await settled(cli.config(), os.environ))
    if cli.json:
        cli.output.data(_capabilities.as_json(vector, graph))
    else:
        _capabilities.show(cli.output, vector, graph)


def _as_json(cli: Cli, check: Check) -> dict[str, str | None]:
    detail, hint = cli.mask(check.detail), check.hint and cli.mask(check.hint)
    return {"name": check.name, "state": check.state.value, "detail": detail, "hint": hint}


def _show(cli: Cli, check: Check) -> None:
    mark, style = _MARKS[check.state]
    cli.output.line(styled((mark, style), f" {check.name:<15} ", one_line(cli.mask(check.detail))))
    if check.hint and check.state is not State.OK:
        cli.output.line(styled(("                  Try: ", "bold"), one_line(cli.mask(check.hint))))


async def _configured(cli: Cli) -> list[Check]:
    try:
        given = cli.config(enable_relay=False, auto_upgrade=False, graph_required=False)
        config = await settled(given, os.environ)
        found = _checks.settings(config, cli.options, os.environ)
    except ConfigurationError as error:
        return [failed("settings", error), *skipped("schema", "vector store", "graph store")]
    tools = {"Java": shutil.which("java"), "Maven": shutil.which("mvn")}
    local = _checks.local_servers(config, os.environ, tools)
    stores = await _stores(config, auto_upgrade=cli.config().auto_upgrade)
    return [*found, *stores, *([local] if local else [])]


async def _stores(config: PersistenceConfig, *, auto_upgrade: bool) -> list[Check]:
    """Look at both stores; nothing is made or upgraded."""
    try:
        found = await factory.schema_state(factory.Given(config=config), os.environ)
    except PersistenceError as error:
        return [failed("vector store", error), *skipped("schema", *_BEHIND_SCHEMA)]
    schema = _checks.schema(found, auto_upgrade=auto_upgrade)
    if not found.usable:
        return [Check("vector store", State.OK, "it answers"), schema, *skipped(*_BEHIND_SCHEMA)]
    all_of_it = [schema, *await _truth(config), *await _pair(config)]
    return sorted(all_of_it, key=lambda check: _ORDER.index(check.name))


async def _truth(config: PersistenceConfig) -> list[Check]:
    embedder = factory.make_embedder(config)
    vector = await factory.make_vector(config, os.environ)
    try:
        info = await vector.open(model=embedder.model, dimension=embedder.dimension)
        weaknesses = await _weaknesses(vector)
    except EmbeddingMismatchError as error:
        return [failed("embedding", error), *skipped("vector index", "durability", "graph identity")]
    except PersistenceError as error:
        # Of what is wrong with the store itself, the line of the store speaks.
        told = [failed(_EXTENSION, error)] if vector.kind == _EXTENDED else []
        return [*told, *skipped("embedding", "vector index", "durability", "graph identity")]
    finally:
        await vector.close()
        await embedder.close()
    return [
        *([Check(_EXTENSION, State.OK, "vector is installed, and new enough")] if vector.kind == _EXTENDED else []),
        _checks.embedding(info, embedder),
        _checks.vector_index(info),
        _checks.durability(weaknesses),
        _checks.graph_identity(info),
    ]


async def _weaknesses(vector: VectorStore) -> list[str]:
    """Return why an acknowledged write may be lost; a store that cannot say so in sentences is taken by its word."""
    if isinstance(vector, Durable):
        return await vector.durability()
    return [] if Capability.DURABLE in vector.capabilities else [f"It lacks durable: {Capability.DURABLE.without}"]


async def _pair(config: PersistenceConfig) -> list[Check]:
    try:
        async with AsyncPersistenceService.connect(config=config) as memories:
            health = await memories.get_health()
    except GraphStoreError as error:
        return [Check("vector store", State.OK, "it answers"), failed("graph store", error), *skipped("outbox")]
    except PersistenceError as error:
        return [failed("vector store", error), *skipped("graph store", "outbox")]
    vector, graph = _checks.store("vector store", health.vector), _checks.store("graph store", health.graph)
    return [vector, graph, _checks.outbox(health.outbox)]
