"""`keys`: the API keys that the server lets in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from api.access.keyfile import KeyFile, keys_path
from api.access.keys import ApiKey, make_key
from api.access.principal import Scope
from api.access.settings import AccessConfig
from api.cli._output import one_line
from api.cli._run import Cli, command
from api.cli._show import short_time
from api.shapes import time_text
from persistence.errors import ConfigurationError, InvalidInputError
from persistence.text import Name
from sync.timing import Every, timing_of

app = typer.Typer(name="keys", no_args_is_help=True, help="The API keys that the server lets in.")

_NAME: TypeAdapter[str] = TypeAdapter(Name)


@command(app)
async def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.", show_default=False)],
    *,
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What it allows; repeatable. Else read.", show_default=False),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", metavar="USER", help="For this tenant only. Else for all.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="After a time such as 90d, or on a date.", show_default=False),
    ] = None,
) -> None:
    """Make an API key, and print it: this once, because only a hash of it is kept.

    write holds what read holds, and admin what write holds.
    """
    now = _now()
    key, shown = make_key(
        _checked("name", name),
        frozenset(scope or [Scope.READ]),
        now=now,
        user_id=None if user is None else _checked("--user", user),
        expires_at=None if expires is None else _expiry(expires, now),
    )
    file = _file(cli)
    await file.add(key, now)
    if cli.json:
        cli.output.data({"status": "created", "key": shown, **_key_json(key, now)})
    else:
        cli.output.line(shown)
        cli.output.note(f"Its hash is in {file.path}; the key itself is not shown again.")
        cli.output.note("Send it as the header Authorization: Bearer KEY.")


@command(app, "list")
async def list_(cli: Cli) -> None:
    """List the keys: names, scopes, tenants, and whether they are valid. Never the keys themselves."""
    keys, now = await _file(cli).keys(), _now()
    if cli.json:
        cli.output.data({"keys": [_key_json(key, now) for key in keys]})
    elif keys:
        cli.output.table(_table(keys, now))
    else:
        cli.output.note("There are none.")
        cli.output.note("Try: diptych keys create NAME")


@command(app)
async def revoke(
    cli: Cli, name: Annotated[str, typer.Argument(metavar="NAME|ID", help="The key.", show_default=False)]
) -> None:
    """Revoke a key: servers that run refuse it from now on."""
    now = _now()
    key, done = await _file(cli).revoke(name, now)
    status = "revoked" if done else "already_revoked"
    if cli.json:
        cli.output.data({"status": status, **_key_json(key, now)})
    else:
        cli.output.line(f"{status.replace('_', ' ')}  {key.id}  {one_line(key.name)}")


def _now() -> datetime:
    return datetime.now(UTC)


def _file(cli: Cli) -> KeyFile:
    return KeyFile(keys_path(AccessConfig.load(), cli.config().home))


def _checked(field: str, text: str) -> str:
    try:
        return _NAME.validate_python(text)
    except ValidationError as error:
        allowed = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInputError(field, text, allowed) from None


def _expiry(text: str, now: datetime) -> datetime:
    """Return when a key ends: a time from now, or a moment (a date without a zone is UTC)."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        return _duration(text).next(now, 0)
    moment = given if given.tzinfo else given.replace(tzinfo=UTC)
    if moment <= now:
        raise InvalidInputError("--expires", text, "it must lie in the future")
    return moment


def _duration(text: str) -> Every:
    wrong = InvalidInputError("--expires", text, "it must be a time such as 90d, or a date such as 2030-01-31")
    try:
        timing = timing_of("--expires", text)
    except ConfigurationError:
        raise wrong from None
    if not isinstance(timing, Every):
        raise wrong
    return timing


def _key_json(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": [scope.value for scope in Scope if scope in key.scopes],
        "user_id": key.user_id,
        "state": key.state(now),
        "created_at": time_text(key.created_at),
        "expires_at": time_text(key.expires_at) if key.expires_at else None,
        "revoked_at": time_text(key.revoked_at) if key.revoked_at else None,
    }


def _table(keys: tuple[ApiKey, ...], now: datetime) -> Table:
    table = Table("id", "name", "scopes", "tenant", "state", "made", "ends", box=None)
    for key in keys:
        scopes = ", ".join(_key_json(key, now)["scopes"])
        tenant = "all" if key.user_id is None else one_line(key.user_id)
        ends = short_time(key.expires_at) if key.expires_at else "never"
        table.add_row(key.id, one_line(key.name), scopes, tenant, key.state(now), short_time(key.created_at), ends)
    return table
