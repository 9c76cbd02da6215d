"""`store`, `get`, `list`, `delete`: one memory, or a tenant's."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli import _parse
from api.cli._confirm import confirmed
from api.cli._options import Agent, MemoryId, Run, Timeout, User, Where
from api.cli._output import one_line, styled
from api.cli._run import TROUBLE, Cli, command
from api.cli._show import ID_STYLE, memory_line, note_graph, show_memory
from api.shapes import deleted_all_json, memory_json, page_json, result_json
from persistence import AsyncPersistenceService
from persistence.errors import MemoryNotFoundError, PersistenceError
from persistence.results import Outcome, Page, PersistenceResult, StorageStatus

app = typer.Typer()

STORED, ALREADY_STORED, ROLLED_BACK = "stored", "already_stored", "rolled_back"


@command(app)
async def store(
    cli: Cli,
    content: Annotated[
        str, typer.Argument(metavar="CONTENT", help="The text to remember; - reads it from stdin.", show_default=False)
    ],
    *,
    user: User,
    memory_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its id; a memory of that id is replaced. Else a new one.")
    ] = None,
    agent: Agent = None,
    run: Run = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", metavar="JSON", help="""A JSON object, such as '{"topic": "travel"}'.""")
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="NAME:TYPE",
            help="An entity it mentions, such as 'Ada:Person', or a JSON object. Repeat it for more. "
            "Without any, entities are found in the content.",
        ),
    ] = None,
    relation: Annotated[
        list[str] | None,
        typer.Option(
            "--relation",
            metavar="SOURCE:TYPE:TARGET",
            help="A relation between two of these entities, such as 'Ada:WORKS_AT:Babbage', or a JSON object. "
            "Repeat it for more.",
        ),
    ] = None,
    no_extract: Annotated[bool, typer.Option("--no-extract", help="Don't look for entities in the content.")] = False,
    created_at: Annotated[
        str | None,
        typer.Option("--created-at", metavar="TIME", help="When it came to be, such as 2026-01-31T12:00:00Z."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="Repeating the call with the same key stores it once."),
    ] = None,
    timeout: Timeout = None,
) -> int | None:
    """Store a memory in both stores.

    It is stored once this succeeds, also where the graph could not be written: then it says so, and `diptych relay`
    brings the graph up.
    """
    given = _graph_parts(entity, relation, extract=not no_extract)
    given |= {"metadata": _parse.json_object("--metadata", metadata)}
    given |= {"created_at": _parse.moment("--created-at", created_at)}
    text = await _parse.content(content, cli.config().max_content_bytes)
    async with cli.service() as memories:
        result = await memories.store(
            text,
            user_id=user,
            id=memory_id,
            agent_id=agent,
            run_id=run,
            idempotency_key=idempotency_key,
            timeout=timeout,
            **given,
        )
    return _report_stored(cli, result)


def _graph_parts(entity: list[str] | None, relation: list[str] | None, *, extract: bool) -> dict[str, Any]:
    """Return entities and relationships as given; None leaves them to the extractor."""
    if extract and not entity and not relation:
        return {"entities": None, "relationships": None}
    entities = [_parse.entity(text) for text in entity or ()]
    return {"entities": entities, "relationships": [_parse.relation(text, entities) for text in relation or ()]}


def _report_stored(cli: Cli, result: PersistenceResult) -> int | None:
    undone = result.outcome is Outcome.ROLLED_BACK
    status = ROLLED_BACK if undone else STORED if result.changed else ALREADY_STORED
    if cli.json:
        cli.output.data(result_json(result, status))
    else:
        cli.output.line(styled((one_line(result.id), ID_STYLE)))
        cli.output.note(f"{status.replace('_', ' ').capitalize()}{_where(result)}.")
    if undone:
        cli.output.note(f"The graph could not be written: {result.error}")
        return TROUBLE
    note_graph(result, cli.output)
    return None


def _where(result: PersistenceResult) -> str:
    if result.graph is StorageStatus.DISABLED:
        return "; no graph is configured"
    return {Outcome.IN_STEP: " in both stores", Outcome.SUPERSEDED: ", and replaced by someone's newer write"}.get(
        result.outcome, ""
    )


@command(app)
async def get(cli: Cli, memory_id: MemoryId, *, user: User) -> None:
    """Show one memory."""
    async with cli.service() as memories:
        memory = await memories.get(memory_id, user_id=user)
    if memory is None:
        raise MemoryNotFoundError(
            f"There is no memory {one_line(memory_id, 80)!r} of {one_line(user, 80)!r}.",
            hint=f"diptych list --user {one_line(user, 80)}",
        )
    if cli.json:
        cli.output.data(memory_json(memory))
    else:
        show_memory(memory, cli.output)


@command(app, "list")
async def list_(
    cli: Cli,
    *,
    user: User,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="Memories on a page.")] = 20,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="Go on behind this id.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, page after page; with --json one a line.")] = False,
    agent: Agent = None,
    run: Run = None,
    where: Where = None,
) -> None:
    """List a user's memories in the order of their ids, a page at a time."""
    wanted: dict[str, Any] = {
        "user_id": user,
        "agent_id": agent,
        "run_id": run,
        "filters": _parse.json_object("--filter", where),
    }
    async with cli.service() as memories:
        if every:
            await _list_all(cli, memories, after, wanted)
        else:
            _show_page(cli, await memories.get_all(**wanted, after=after, limit=limit))


async def _list_all(cli: Cli, memories: AsyncPersistenceService, after: str | None, wanted: dict[str, Any]) -> None:
    """Print page after page; no more than one is held."""
    more = True
    while more:
        page = await memories.get_all(**wanted, after=after, limit=500)
        for memory in page.memories:
            if cli.json:
                cli.output.record(memory_json(memory))
            else:
                cli.output.line(memory_line(memory, cli.output.width))
        after, more = page.next, page.next is not None


def _show_page(cli: Cli, page: Page) -> None:
    if cli.json:
        cli.output.data(page_json(page))
        return
    for memory in page.memories:
        cli.output.line(memory_line(memory, cli.output.width))
    if not page.memories:
        cli.output.note("There are none.")
    if page.next is not None:
        cli.output.note(f"There are more: --after {one_line(page.next)}, or --all.")


@command(app)
async def delete(
    cli: Cli,
    memory_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The memory's id.", show_default=False)
    ] = None,
    *,
    user: User,
    every: Annotated[bool, typer.Option("--all", help="Delete all memories of the user.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before deleting all of them.")] = False,
    expected_version: Annotated[
        int | None, typer.Option("--expected-version", metavar="VERSION", help="Refuse if it is at another version.")
    ] = None,
    timeout: Timeout = None,
) -> int | None:
    """Delete one memory, or with --all all memories of a user, from both stores."""
    if (memory_id is None) is not every:
        raise PersistenceError("A delete takes either an id or --all.", hint="diptych delete --help")
    if every and not (yes or await _confirmed(cli, user)):
        cli.output.note("Nothing was deleted.")
        return TROUBLE
    async with cli.service() as memories:
        if memory_id is None:
            await _delete_all(cli, memories, user, timeout)
        else:
            result = await memories.delete(memory_id, user_id=user, expected_version=expected_version, timeout=timeout)
            _report_deleted(cli, result)
    return None


async def _confirmed(cli: Cli, user: str) -> bool:
    question = f"Delete all memories of {one_line(user)}?"
    return await confirmed(cli, "Deleting all memories of a user", question)


def _report_deleted(cli: Cli, result: PersistenceResult) -> None:
    gone = "already_absent" if result.version is None else "already_deleted"
    status = "deleted" if result.changed else gone
    if cli.json:
        cli.output.data(result_json(result, status))
    else:
        cli.output.line(status.replace("_", " "))
    note_graph(result, cli.output)


async def _delete_all(cli: Cli, memories: AsyncPersistenceService, user: str, timeout: float | None) -> None:
    done = await memories.delete_all(user_id=user, timeout=timeout)
    if cli.json:
        cli.output.data(deleted_all_json(user, done))
    else:
        cli.output.line(f"{done.deleted} deleted")
    if done.pending:
        cli.output.note(f"The graph still holds {done.pending} of them.")
        cli.output.note("Try: diptych relay")
