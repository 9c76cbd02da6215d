"""What happens when the reader of stdout leaves."""

from __future__ import annotations

import os
import sys

#: As a shell reports a process that died of SIGPIPE.
BROKEN_PIPE = 141


def leave_pipe() -> int:
    """Make the reader's leaving quiet: nothing more is written to it, at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
