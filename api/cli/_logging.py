"""Logs of a command: none without ``-v``; with it, ours go to stderr, and never a secret with them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import structlog

from api.cli._output import Output


def configure_logging(output: Output, mask: Callable[[str], str], *, verbose: bool) -> None:
    """Send our own records to stderr where ``verbose``, and keep other libraries' out of the way.

    What a driver has to say comes back as an error of ours; its own records may quote connection strings.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    if not verbose:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskedFormatter(mask, colors=output.err.is_terminal and not output.no_color))
    ours = logging.getLogger("diptych")
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)


class _MaskedFormatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, mask: Callable[[str], str], *, colors: bool) -> None:
        super().__init__(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso"),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=colors),
            ],
        )
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))
