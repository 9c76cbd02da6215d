"""Logs of a command: none without ``-v``; with it, ours go to stderr, and never a secret with them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from api.cli._output import Output
from api.telemetry.logs import log_to


def configure_logging(output: Output, mask: Callable[[str], str], *, verbose: bool) -> None:
    """Send our own records to stderr where ``verbose``, and keep other libraries' out of the way.

    What a driver has to say comes back as an error of ours; its own records may quote connection strings.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    if verbose:
        log_to(sys.stderr, mask, level=logging.DEBUG, colors=output.err.is_terminal and not output.no_color)
