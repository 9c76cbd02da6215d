"""The log of a process that serves: on stderr, for a person on a terminal, else a JSON object a line."""

from __future__ import annotations

import sys

from api.cli._run import Cli
from api.telemetry.logs import log_to


def configure_server_logging(cli: Cli) -> None:
    """Show our own records from INFO on, with the id of the request; with ``-v`` they are shown already."""
    if not cli.options.verbose:
        log_to(sys.stderr, cli.mask, colors=False if cli.output.no_color else None)
