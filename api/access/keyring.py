"""The keys as a server has them at hand: read again when their file changes, so a revoked one is refused at once."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from api.access.keyfile import KeyFile
from api.access.keys import NOBODY, ApiKey, parts_of
from api.access.principal import Principal, Unauthenticated
from persistence.errors import ConfigurationError
from persistence.log import get_logger

log = get_logger("access")

Mark = tuple[int, ...]


def _utc() -> datetime:
    return datetime.now(UTC)


class KeyRing:
    """The keys of one file. ``clock`` is given by tests."""

    def __init__(self, file: KeyFile, *, clock: Callable[[], datetime] = _utc) -> None:
        self.file = file
        self._clock = clock
        self._keys: Mapping[str, ApiKey] = {}
        self._seen: Mark | None = None
        self._reading = asyncio.Lock()

    @property
    def present(self) -> bool:
        """Whether there is a file of keys, in whatever state."""
        return self._mark() is not None

    async def identify(self, credential: str) -> Principal:
        """Return whom a key stands for. Raises Unauthenticated, which does not say what is wrong with the key."""
        parts = parts_of(credential)
        if parts is None:
            raise Unauthenticated("The API key is not valid.")
        key_id, secret = parts
        key = (await self._current()).get(key_id, NOBODY)
        if not key.opens_for(secret) or not key.valid(self._clock()):
            raise Unauthenticated("The API key is not valid.")
        return key.principal()

    async def _current(self) -> Mapping[str, ApiKey]:
        if self._mark() != self._seen:
            async with self._reading:
                await self._read_again()
        return self._keys

    async def _read_again(self) -> None:
        """Read the file, if nobody else just did. What changes while it is read differs from its mark afterwards."""
        mark = self._mark()
        if mark == self._seen:
            return
        try:
            keys = {key.id: key for key in await self.file.keys()}
        except ConfigurationError as error:
            log.error("No API key is accepted.", action="access", reason=error.message)  # noqa: TRY400  # no traceback
            keys = {}
        self._keys, self._seen = keys, mark

    def _mark(self) -> Mark | None:
        """Return what tells one state of the file from another; a look at a local folder takes microseconds."""
        try:
            stat = self.file.path.stat()
        except OSError as error:
            gone = error.errno in {errno.ENOENT, errno.ENOTDIR}
            return None if gone else (error.errno or 0,)
        return (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
