"""`schema`: the tables in the truth, and which graph belongs to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer

from api.cli._confirm import confirmed
from api.cli._run import TROUBLE, Cli, command
from persistence import factory
from persistence.errors import ConfigurationError
from persistence.ports.schema import Phase, Schema, SchemaState, Step

app = typer.Typer(
    name="schema", no_args_is_help=True, help="The tables in the vector store, and which graph belongs to them."
)

FormerTruth = Annotated[
    UUID | None, typer.Option("--from", metavar="ID", help="The lost truth that the graph belongs to until now.")
]


class Side(StrEnum):
    """Whose tables."""

    TRUTH = "truth"
    GRAPH = "graph"


@command(app)
async def upgrade(cli: Cli) -> None:
    """Make the tables, or bring them up to this version of diptych, in both phases. Needs no second call.

    For when no process of an older version is left; while some are, `apply --phase pre` is for you.
    """
    before, after = await factory.upgrade_schema(factory.Given(config=cli.config()), os.environ)
    state = "already_current" if before == after else "upgraded"
    if cli.json:
        cli.output.data({"status": state, "before": before, "after": after})
    else:
        cli.output.line(f"{state.replace('_', ' ')}: version {after}")


@command(app)
async def status(cli: Cli) -> int | None:
    """Show which version the tables have, which this version of diptych knows, and what waits to be applied.

    Exits with 2 where this version cannot work with them as they are.
    """
    found = await _states(cli)
    if cli.json:
        cli.output.data({**_as_json(found["truth"]), "graph": _as_json(found["graph"]) if "graph" in found else None})
    else:
        _show(cli, found)
    return None if all(one.usable for one in found.values()) else TROUBLE


@command(app)
async def plan(cli: Cli) -> None:
    """Show the steps that are not applied yet, in their order, each with its phase. Changes nothing."""
    found = await _states(cli)
    if cli.json:
        cli.output.data({which: [_step(step) for step in state.pending] for which, state in found.items()})
        return
    for which, state in found.items():
        for step in state.pending:
            cli.output.line(f"{which}: {step.phase.value:<4} {step.version} {step.name}")
    if not any(state.pending for state in found.values()):
        cli.output.note("Nothing is to be applied.")
    elif phase := next((state.pending[0].phase for state in found.values() if state.pending), None):
        cli.output.note(f"Try: diptych schema apply --phase {phase.value}")


@command(app)
async def apply(
    cli: Cli,
    phase: Annotated[
        Phase,
        typer.Option("--phase", help="pre: what new code needs; post: what no old code may need any more."),
    ],
) -> int | None:
    """Apply the steps of one phase, in the truth and in the graph; what is applied is not applied again.

    Apply `pre` before the first process of the new version starts, and `post` when the last one of the old has ended.
    Exits with 2 where steps of the other phase come first.
    """
    schemas = await _schemas(cli)
    applied = {which: await schema.apply((phase,)) for which, schema in schemas.items()}
    left = {which: (await schema.state()).pending for which, schema in schemas.items()}
    first = [step for steps in left.values() for step in steps[:1] if any(s.phase is phase for s in steps)]
    _tell(cli, "applied", applied)
    for step in first:
        cli.output.note(f"Before the rest comes the step {step}.")
        cli.output.note(f"Try: diptych schema apply --phase {step.phase.value}")
    return TROUBLE if first else None


@command(app)
async def revert(
    cli: Cli,
    to: Annotated[int, typer.Option("--to", metavar="VERSION", min=0, help="The version to go back to.")],
    *,
    store: Annotated[Side, typer.Option("--store", help="Whose tables.")] = Side.TRUTH,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int | None:
    """Take steps back, the newest first: before diptych itself is put back to a former version.

    No process of the newer version may be left. A step without a way back is refused, and nothing is changed then.
    """
    schemas = await _schemas(cli)
    if store.value not in schemas:
        raise ConfigurationError("The graph has no tables of ours whose steps could be taken back.")
    question = f"Take the tables of the {store.value} back to version {to}?"
    if not yes and not await confirmed(cli, "Taking the schema back", question):
        return TROUBLE
    _tell(cli, "reverted", {store.value: await schemas[store.value].revert(to)})
    return None


async def _schemas(cli: Cli) -> dict[str, Schema]:
    return await factory.schemas(factory.Given(config=cli.config()), os.environ)


async def _states(cli: Cli) -> dict[str, SchemaState]:
    return {which: await schema.state() for which, schema in (await _schemas(cli)).items()}


def _step(step: Step) -> dict[str, Any]:
    return {"version": step.version, "name": step.name, "phase": step.phase.value}


def _as_json(state: SchemaState) -> dict[str, Any]:
    return {
        "version": state.version,
        "needed": state.known,
        "current": not state.pending and not state.newer,
        "usable": state.usable,
        "pending": [_step(step) for step in state.pending],
        "newer": [_step(step) for step in state.newer],
    }


def _show(cli: Cli, found: Mapping[str, SchemaState]) -> None:
    for which, state in found.items():
        there = f"version {state.version}" if state.version else "there is no schema"
        cli.output.line(there if which == "truth" else f"{which}: {there}")
    for state in found.values():
        for word in _advice(state):
            cli.output.note(word)


def _advice(state: SchemaState) -> list[str]:
    if state.too_new:
        return [f"This diptych knows version {state.known} and older.", "Try: upgrade diptych on this machine"]
    if state.lacking:
        return [f"Version {state.known} is needed.", "Try: diptych schema upgrade"]
    if state.pending:
        waiting = ", ".join(str(step) for step in state.pending)
        return [f"When no older process is left: {waiting}.", "Try: diptych schema apply --phase post"]
    return [f"It is newer than this diptych ({state.known}), and still fit for it."] if state.newer else []


def _tell(cli: Cli, what: str, steps: Mapping[str, Sequence[Step]]) -> None:
    if cli.json:
        cli.output.data({which: [_step(step) for step in done] for which, done in steps.items()})
        return
    for which, done in steps.items():
        for step in done:
            cli.output.line(f"{which}: {what} {step}")
    if not any(steps.values()):
        cli.output.line(f"nothing was to be {what}")


@command(app)
async def adopt_graph(cli: Cli, former: FormerTruth = None) -> None:
    """Make the configured graph the graph of this truth, and list every memory to be written there.

    For a graph that was moved or made anew; `diptych relay` then fills it. With --from also for one that another truth
    has left: after `diptych restore` into a new truth, whose graph is still the lost one's. What differs there then is
    shown by `diptych repair --depth full`. Nobody may use the former truth any more.
    """
    given = factory.Given(config=cli.config())
    listed = await factory.adopt_graph(given, os.environ, former_truth=former)
    if cli.json:
        cli.output.data({"status": "adopted", "listed": listed})
    else:
        cli.output.line("adopted" if listed is None else f"adopted; {listed:,} memories are listed for it")
    if listed:
        cli.output.note("Try: diptych relay")
