"""The file of the API keys: read whole, written whole, by one process at a time."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import anyio.to_thread
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from api.access.keys import ApiKey
from api.access.settings import AccessConfig
from persistence.errors import ConfigurationError, InvalidInputError, PersistenceError
from persistence.local.locks import locked

DEFAULT_NAME = "api-keys.json"
#: A file that is longer is no file of keys.
MAX_BYTES = 16_777_216
LOCK_TIME = 10.0


def _distinct(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("an id stands there twice")
    return keys


def keys_path(config: AccessConfig, home: Path) -> Path:
    """Return where the file of the API keys is."""
    return config.keys_file or home / DEFAULT_NAME


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    keys: Annotated[tuple[ApiKey, ...], AfterValidator(_distinct)] = ()


class KeyFile:
    """One file of keys. Whoever may read it learns names, tenants and hashes, so it is its owner's alone (0600)."""

    def __init__(self, path: Path) -> None:
        #: Without symbolic links: writing puts a new file in the place of the old one, not of a link to it.
        self.path = Path(os.path.realpath(path.expanduser()))

    def read(self) -> tuple[ApiKey, ...]:
        """Return the keys; none where there is no file. Raises ConfigurationError where it is damaged."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._damaged(f"it cannot be read ({error.strerror})") from error
        return self._parsed(data)

    async def keys(self) -> tuple[ApiKey, ...]:
        """Read the keys, off the event loop. Raises ConfigurationError."""
        return await anyio.to_thread.run_sync(self.read)

    async def add(self, key: ApiKey, now: datetime) -> None:
        """Add a key. Raises InvalidInputError where a valid one has its name; ConfigurationError."""
        async with self._locked():
            keys = await self.keys()
            if any(other.name == key.name and other.valid(now) for other in keys):
                raise InvalidInputError("name", key.name, "another valid key has that name")
            await self._write((*keys, key))

    async def revoke(self, name_or_id: str, now: datetime) -> tuple[ApiKey, bool]:
        """Revoke a key; return it, and False where it was revoked before. Raises PersistenceError."""
        async with self._locked():
            keys = await self.keys()
            found = _found(keys, name_or_id, now)
            if found.revoked_at is not None:
                return found, False
            revoked = found.model_copy(update={"revoked_at": now})
            await self._write(tuple(revoked if key.id == found.id else key for key in keys))
            return revoked, True

    def _locked(self) -> AbstractAsyncContextManager[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return locked(self.path.with_name(f"{self.path.name}.lock"), timeout=LOCK_TIME)

    async def _write(self, keys: tuple[ApiKey, ...]) -> None:
        text = _Content(keys=keys).model_dump_json(indent=2) + "\n"
        await anyio.to_thread.run_sync(_replace, self.path, text.encode())

    def _parsed(self, data: bytes) -> tuple[ApiKey, ...]:
        if len(data) > MAX_BYTES:
            raise self._damaged(f"it is longer than {MAX_BYTES:,} bytes")
        try:
            return _Content.model_validate_json(data).keys
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(step) for step in fault["loc"]) or "its form"
            raise self._damaged(f"{where}: {fault['msg']}") from None

    def _damaged(self, how: str) -> ConfigurationError:
        return ConfigurationError(
            f"The file of the API keys, {self.path}, is damaged: {how}.",
            hint="put a copy back; or move it away, and make new keys by `diptych keys create`",
        )


def _found(keys: tuple[ApiKey, ...], name_or_id: str, now: datetime) -> ApiKey:
    """Return the key of an id; or the one that has a name, a valid one before those that were."""
    named = [key for key in keys if name_or_id in {key.id, key.name}]
    if not named:
        raise PersistenceError("There is no such key.", hint="diptych keys list")
    return max(named, key=lambda key: (key.id == name_or_id, key.valid(now), key.created_at))


def _replace(path: Path, data: bytes) -> None:
    """Put the data in the file's place, so that who reads sees all of it or the former one, also after a crash."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
