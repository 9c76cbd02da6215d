"""The account of a server that refuses to run as root, and folders that only it may enter."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from persistence.errors import ConfigurationError

ROOT = 0
CANDIDATES = ("postgres", "nobody")
_SEARCH = stat.S_IXOTH


def server_account(data: Path) -> int | None:
    """Return the user that the server of this data must run as; None: the present one, who is not root.

    Data that are there belong to the account they were made with, also when a better one has come since.
    """
    if os.geteuid() != ROOT:
        return None
    if data.exists() and data.stat().st_uid != ROOT:
        return data.stat().st_uid
    return _first_account()


def _first_account() -> int:
    import pwd  # noqa: PLC0415 - there is none on Windows, where this module can still be imported

    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    for name in CANDIDATES:
        if name in known:
            return known[name]
    raise ConfigurationError(
        "The local postgres cannot run as root, and there is no account to run it as.",
        hint="add a user 'postgres', or run this as an ordinary user",
    )


def private_folder(folder: Path, user: int | None) -> None:
    """Make the folder, for its user alone; raise ConfigurationError where it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = os.geteuid() if user is None else user
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner, os.geteuid()}:
        raise ConfigurationError(f"{folder} belongs to somebody else.", hint="remove it, or use another DIPTYCH_HOME")
    if found.st_uid != owner:
        os.chown(folder, owner, -1)
    folder.chmod(0o700)


def let_pass(*paths: Path) -> None:
    """Let other accounts pass through (not list) the folders above the paths, where these are root's own."""
    for folder in {parent for path in paths for parent in path.absolute().parents}:
        found = folder.stat()
        if found.st_uid == ROOT and not found.st_mode & _SEARCH:
            folder.chmod(stat.S_IMODE(found.st_mode) | _SEARCH)
