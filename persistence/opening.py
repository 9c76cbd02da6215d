"""How files are opened that hold what is secret, or that anybody may have put there: for ``open(…, opener=…)``."""

from __future__ import annotations

import os
import stat


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


def plain(path: str, flags: int) -> int:
    """Open a file to read it. Raises OSError where it is none: a pipe would have us wait, a device might never end."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is no file", path)
    return handle
