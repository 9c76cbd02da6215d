"""`dead-letters`: the memories that the relay gave up on, to be tried again or let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import typer

from api.cli._options import MemoryId, User
from api.cli._output import one_line, styled
from api.cli._run import Cli, command
from api.cli._show import ID_STYLE
from api.shapes import entry_json, time_text
from persistence import AsyncPersistenceService
from persistence.errors import PersistenceError
from persistence.ports.outbox import Key, OutboxEntry

app = typer.Typer(name="dead-letters", no_args_is_help=True, help="The memories whose graph copy the relay gave up on.")

_PAGE = 500

SomeUser = Annotated[
    str | None, typer.Option("--user", "-u", metavar="USER", help="Of this user only.", show_default=False)
]


@command(app, "list")
async def list_(
    cli: Cli,
    *,
    user: SomeUser = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 100,
) -> None:
    """List the dead entries, each with its reason."""
    async with cli.service() as memories:
        entries = [entry async for entry in _dead(memories, user, limit + 1)]
    shown, more = entries[:limit], len(entries) > limit
    if cli.json:
        cli.output.data({"dead_letters": [entry_json(entry) for entry in shown], "more": more})
    else:
        for entry in shown:
            _show(cli, entry)
    if not shown:
        cli.output.note("There are none.")
    if more:
        cli.output.note(f"There are more: --limit {limit * 10}.")


async def _dead(memories: AsyncPersistenceService, user: str | None, limit: int) -> AsyncIterator[OutboxEntry]:
    """Yield dead entries in key order, up to ``limit``, page by page."""
    after: Key | None = None
    while limit > 0:
        page = await memories.dead_letters(user_id=user, after=after, limit=min(limit, _PAGE))
        for entry in page:
            yield entry
        if len(page) < min(limit, _PAGE):
            return
        after, limit = page[-1].key, limit - len(page)


def _show(cli: Cli, entry: OutboxEntry) -> None:
    cli.output.line(styled((one_line(entry.id), ID_STYLE), f"  {one_line(entry.user_id)}"))
    since = f"since {time_text(entry.created_at)}, {entry.attempts} attempts"
    cli.output.line(styled((f"        {since}: {one_line(entry.reason or 'no reason was kept')}", "dim")))


@command(app)
async def retry(
    cli: Cli,
    memory_id: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The memories to try again.", show_default=False)
    ] = None,
    *,
    user: SomeUser = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, or all of --user.")] = False,
) -> None:
    """Let the relay try dead entries again, from the first attempt on."""
    if bool(memory_id) is every or (memory_id and user is None):
        raise PersistenceError(
            "A retry takes ids and their --user, or --all.", hint="diptych dead-letters retry --help"
        )
    async with cli.service() as memories:
        keys = await _wanted(memories, memory_id, user)
        retried = await memories.retry_dead(keys) if keys is None or keys else 0
    if cli.json:
        cli.output.data({"status": "retried" if retried else "already_retried", "retried": retried})
    else:
        cli.output.line(f"{retried:,} to be tried again")
    if retried:
        cli.output.note("Try: diptych relay")


async def _wanted(memories: AsyncPersistenceService, ids: list[str] | None, user: str | None) -> list[Key] | None:
    """Return the keys that are meant; None for every dead entry there is."""
    if user is None:
        return None
    if ids:
        return [Key(user, memory_id) for memory_id in ids]
    return [entry.key async for entry in _dead(memories, user, 1_000_000)]


@command(app)
async def discard(cli: Cli, memory_id: MemoryId, *, user: User) -> None:
    """Give a dead entry up: it moves to the open inconsistencies, and the graph stays as it is."""
    async with cli.service() as memories:
        done = await memories.discard_dead(Key(user, memory_id))
    state = "discarded" if done else "already_gone"
    if cli.json:
        cli.output.data({"status": state, "id": memory_id, "user_id": user})
    else:
        cli.output.line(state.replace("_", " "))
    if not done:
        cli.output.note("There is no dead entry of this memory.")
