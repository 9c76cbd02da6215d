"""Which file a URL names, by SQLAlchemy's rule: three slashes before a relative path, four before an absolute one."""

from __future__ import annotations

from pathlib import Path

from persistence.errors import ConfigurationError

_PREFIX = "sqlite:///"


def path_of(url: str) -> Path:
    """Return the file that a URL names, a relative one in the working folder. Raises ConfigurationError."""
    named, path = url[: len(_PREFIX)].lower() == _PREFIX, url[len(_PREFIX) :]
    if not named or not path or "?" in path or path == ":memory:":
        raise ConfigurationError(
            "The vector store's URL names no SQLite file.",
            hint="sqlite:///file.db in the working folder, or sqlite:////folder/file.db",
        )
    return Path(path).absolute()
