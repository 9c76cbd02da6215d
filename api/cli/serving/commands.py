"""`serve`: the HTTP API, and what goes on beside it. `worker`: that alone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from api.cli._run import Cli, command
from api.cli.serving.logs import configure_server_logging
from api.cli.serving.signals import until_signalled
from api.cli.serving.wanted import ALONE, Wanted, scheduled
from api.telemetry.watched import watched
from persistence.errors import ConfigurationError

app = typer.Typer()

WORKING = "Working until SIGTERM or Ctrl-C."


@command(app)
async def serve(
    cli: Cli,
    *,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Listen on this address. Else DIPTYCH_API_HOST, or 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="On this port; 0: a free one. Else DIPTYCH_API_PORT, or 8765."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse whatever changes anything.")] = False,
    no_api: Annotated[bool, typer.Option("--no-api", help="Serve no HTTP API.")] = False,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Serve no pages.")] = False,
    no_mcp: Annotated[bool, typer.Option("--no-mcp", help="Speak no MCP at /mcp.")] = False,
    no_relay: Annotated[bool, typer.Option("--no-relay", help="Leave the outbox to another process.")] = False,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Make no checks on the schedule.")] = False,
) -> None:
    """Serve the HTTP API, the dashboard and MCP, work off the outbox, and check on the schedule, until SIGTERM.

    Without an API key (`diptych keys create`) or tokens configured it listens on this machine only.
    """
    given: dict[str, Any] = {"host": host, "port": port, "read_only": read_only or None}
    wanted = Wanted(not no_api, not no_dashboard, not no_mcp, not no_relay, not no_schedule)
    await _keep_house(
        cli, given, wanted, lambda url: say(cli, f"Listening on {url}", {"status": "ready", "address": url})
    )


@command(app)
async def worker(
    cli: Cli,
    *,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            min=0,
            max=65_535,
            help="Serve /metrics, /livez and /readyz on this port; 0: a free one. Else nothing is served.",
            show_default=False,
        ),
    ] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option("--metrics-host", metavar="ADDRESS", help="Serve them on this address. Else on 127.0.0.1."),
    ] = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Make no checks on the schedule.")] = False,
) -> None:
    """Work off the outbox and check on the schedule, until SIGTERM or Ctrl-C.

    Its metrics are for whoever may have those of `serve`: without an API key it lets in this machine only.
    """
    if metrics_port is None:
        if metrics_host is not None:
            raise ConfigurationError("Without --metrics-port nothing is served.", hint="--metrics-port 8766")
        await _work_unseen(cli, schedule=not no_schedule)
        return
    given: dict[str, Any] = {"host": metrics_host or "127.0.0.1", "port": metrics_port}
    await _keep_house(
        cli,
        given,
        replace(ALONE, schedule=not no_schedule),
        lambda url: say(cli, f"{WORKING} Its metrics are at {url}/metrics", {"status": "working", "address": url}),
    )


async def _keep_house(cli: Cli, given: dict[str, Any], wanted: Wanted, ready: Callable[[str], None]) -> None:
    try:
        from api.cli.serving.house import keep_house  # noqa: PLC0415  # needs an extra
    except ImportError as error:
        raise ConfigurationError("The HTTP server is not installed.", hint='pip install "diptych[api]"') from error

    configure_server_logging(cli)
    async with until_signalled() as starting:
        await keep_house(cli, starting, given, wanted, ready=ready)


async def _work_unseen(cli: Cli, *, schedule: bool) -> None:
    configure_server_logging(cli)
    async with (
        until_signalled() as starting,
        watched(os.environ) as told,
        cli.service(enable_relay=True, observer=told.observer) as memories,
        scheduled(memories, wanted=schedule),
    ):
        asked = asyncio.Event()
        starting.done(asked.set)
        say(cli, WORKING, {"status": "working"})
        await asked.wait()


def say(cli: Cli, sentence: str, record: dict[str, str]) -> None:
    """Say that the process is ready, at once: whoever started it may wait for this line."""
    if cli.json:
        cli.output.record(record)
        sys.stdout.flush()
    else:
        cli.output.note(sentence)
