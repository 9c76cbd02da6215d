"""The log of a process that serves: on stderr, for a person on a terminal, else a JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog

from api.cli._run import Cli


def configure_server_logging(cli: Cli) -> None:
    """Show our own records from INFO on, with the id of the request; with ``-v`` they are shown already."""
    if cli.options.verbose:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(cli))
    ours = logging.getLogger("diptych")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, cli: Cli) -> None:
        super().__init__(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso"),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(cli)],
        )
        self._mask = cli.mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))


def _rendering(cli: Cli) -> list[structlog.typing.Processor]:
    if cli.output.err.is_terminal:
        return [structlog.dev.ConsoleRenderer(colors=not cli.output.no_color)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
