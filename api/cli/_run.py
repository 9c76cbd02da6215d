"""From the command line to an async function and back: options, the service, errors, exit codes.

A command is an async function that takes a ``Cli`` first, then its own options, and returns its exit code (None: 0):

    @command(app)
    async def get(cli: Cli, memory_id: MemoryId, user: User) -> None:
        '''Show one memory.'''
        async with cli.service() as memories:
            …

The options that every command has (``--json``, ``--vector-url``, …) are added to it here; they may also stand before
the command's name.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, get_type_hints

import typer

from api.cli._errors import report
from api.cli._logging import configure_logging
from api.cli._options import CommonOptions, GraphUrl, Json, NoColor, VectorUrl, Verbose
from api.cli._output import Output
from api.cli._pipe import leave_pipe
from api.masking import Masker
from persistence import AsyncPersistenceService
from persistence.ports.observer import Observer
from persistence.settings import PersistenceConfig

#: Done; done, but something needs a look (design section 8); trouble.
DONE, ATTENTION, TROUBLE = 0, 1, 2
#: As a shell reports a process that died of the signal.
INTERRUPTED, TERMINATED = 130, 143

P = ParamSpec("P")
Body = Callable[Concatenate["Cli", P], Awaitable[int | None]]


@dataclass(slots=True)
class Cli:
    """What a command has at hand: the common options, the output, and the service they lead to."""

    options: CommonOptions
    output: Output = field(init=False)
    mask: Masker = field(init=False)

    def __post_init__(self) -> None:
        """Make the output and learn which secrets must not be printed there."""
        self.output = Output(as_json=self.options.json, no_color=self.options.no_color)
        self.mask = Masker((self.options.vector_url, self.options.graph_url), os.environ)

    @property
    def json(self) -> bool:
        """Whether stdout carries JSON."""
        return self.options.json

    def config(self, **given: Any) -> PersistenceConfig:
        """Return the settings: ``given``, then flags, then the environment. Raises ConfigurationError."""
        return PersistenceConfig.load(
            **{"vector_url": self.options.vector_url, "graph_url": self.options.graph_url, **given}
        )

    def service(self, *, observer: Observer | None = None, **given: Any) -> AsyncPersistenceService:
        """Return the service that the options lead to, to be opened by ``async with``.

        Its relay rests unless ``enable_relay=True`` is given: a command does what it was asked to, and ``relay`` is
        the command that works the outbox off.
        """
        return AsyncPersistenceService.connect(
            config=self.config(**{"enable_relay": False, **given}), observer=observer
        )


def command(app: typer.Typer, name: str | None = None, **about: Any) -> Callable[[Body[P]], Body[P]]:
    """Register an async function as a command of ``app``; the function itself is returned unchanged."""

    def register(body: Body[P]) -> Body[P]:
        app.command(name, **about)(runnable(body))
        return body

    return register


def runnable(body: Callable[..., Awaitable[int | None]]) -> Callable[..., None]:
    """Return a function that Typer can call: it takes the options of ``body`` and the common ones, and exits."""

    def call(ctx: typer.Context, **given: Any) -> None:
        common = CommonOptions(**{name: given.pop(name) for name in _COMMON})
        before = ctx.find_root().obj
        code = run(common.over(before or CommonOptions()), lambda cli: body(cli, **given))
        raise typer.Exit(code)

    parameters = _own_parameters(body)
    call.__name__, call.__doc__ = getattr(body, "__name__", "command"), body.__doc__
    call.__signature__ = inspect.Signature([_CONTEXT, *parameters, *_COMMON.values()])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in (_CONTEXT, *parameters, *_COMMON.values())}
    return call


def run(options: CommonOptions, body: Callable[[Cli], Awaitable[int | None]]) -> int:
    """Run one command to its end and return its exit code; every error becomes a sentence on stderr."""
    cli = Cli(options)
    configure_logging(cli.output, cli.mask, verbose=options.verbose)
    try:
        code = asyncio.run(_until_done(cli, body))
        sys.stdout.flush()
    except KeyboardInterrupt:
        cli.output.note("Interrupted.")
        return INTERRUPTED
    except _TerminatedError:
        cli.output.note("Terminated.")
        return TERMINATED
    except BrokenPipeError:
        return leave_pipe()
    except typer.Exit as exit_:
        return exit_.exit_code
    except Exception as error:  # noqa: BLE001  # the outermost edge: whatever it is, a person gets a sentence
        report(error, cli.output, cli.mask, verbose=options.verbose)
        return TROUBLE
    return code or DONE


class _TerminatedError(Exception):
    """SIGTERM came."""


async def _until_done(cli: Cli, body: Callable[[Cli], Awaitable[int | None]]) -> int | None:
    """Await the command; SIGTERM cancels it as SIGINT does, so that it leaves nothing open behind it."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    came = asyncio.Event()

    def stop() -> None:
        came.set()
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        return await body(cli)
    except asyncio.CancelledError:
        if came.is_set():
            raise _TerminatedError from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _own_parameters(body: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of ``body`` behind the first, keyword only, their annotations resolved."""
    hints = get_type_hints(body, include_extras=True)
    own = list(inspect.signature(body).parameters.values())[1:]
    return [p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in own]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
_COMMON = {
    "vector_url": _keyword("vector_url", VectorUrl, None),
    "graph_url": _keyword("graph_url", GraphUrl, None),
    "json": _keyword("json", Json, default=False),
    "verbose": _keyword("verbose", Verbose, default=False),
    "no_color": _keyword("no_color", NoColor, default=False),
}
