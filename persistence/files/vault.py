"""What a store has on disk: found again at the start, appended to, now and then written out whole.

A snapshot and the log of its number begin at the same moment. So from any snapshot on, the logs of its number and of
all later ones lead to now: where the newest snapshot is damaged, an older one and more logs give the same store.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from persistence.errors import ConfigurationError, PersistenceError
from persistence.files.folder import LOG, SNAPSHOT, Folder
from persistence.files.frames import LONGEST, pack
from persistence.files.log import Log, TornError
from persistence.files.policy import FilePolicy
from persistence.files.recovery import END, Recovery
from persistence.files.source import Faults, Source, header, reason


class Vault:
    """The files of one store. Not for two threads at once, except ``persist``. ``notices``: what was found damaged."""

    def __init__(self, path: Path, source: Source, policy: FilePolicy, faults: Faults) -> None:
        self.notices: list[str] = []
        self._folder = Folder(path, source.kind)
        self._source = source
        self._policy = policy
        self._faults = faults
        self._generation = 0
        self._log: Log | None = None
        self._torn = False
        self._outdated = False
        self._persisted_at = time.monotonic()

    def open(self) -> None:
        """Take the lock, find the newest state, be ready to append. Raises ConfigurationError, SchemaTooNewError."""
        self._torn = self._outdated = False
        self._persisted_at = time.monotonic()
        try:
            holder = self._folder.take()
        except OSError as error:
            raise ConfigurationError(f"The folder {self._folder.path} cannot be used: {reason(error)}.") from error
        if holder is not None:
            raise self._taken(holder)
        try:
            recovery = Recovery(self._folder, self._source, self._faults)
            self._log = recovery.log()
        except OSError as error:
            self.close()
            raise self._faults.unavailable(
                f"The files in {self._folder.path} could not be read: {reason(error)}.", hint="see to the disk"
            ) from error
        except BaseException:
            self.close()
            raise
        self.notices, self._generation, self._outdated = recovery.notices, recovery.generation, recovery.outdated

    def _taken(self, holder: dict[str, Any]) -> PersistenceError:
        who = f"process {holder.get('pid')} since {holder.get('since')}" if holder else "another process"
        where = f"The {self._source.kind} in {self._folder.path}"
        return self._faults.unavailable(f"{where} is in use by {who}.", hint="close it there first, or use a server")

    def close(self) -> None:
        """Wait for the disk, give the lock back. Safe to call twice."""
        log, self._log = self._log, None
        try:
            if log is not None and not self._torn:
                log.sync()
        except OSError as error:
            raise self._faults.unknown(
                f"The disk failed while {self._folder.path} was closed: {reason(error)}."
            ) from error
        finally:
            if log is not None:
                log.close()
            self._folder.give_back()

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, payload: bytes, *, durable: bool) -> None:
        """Keep a change. ``durable``: as the policy has it, else whenever the next one is.

        Raises ``unavailable`` where there is no room: then nothing of it is kept, and the same change can be made once
        there is; ``unknown`` where that cannot be told.
        """
        log = self._writable()
        if len(payload) > LONGEST:
            raise self._faults.refused(f"A change of {len(payload)} bytes is too large for a file store.")
        try:
            log.append(payload, sync=durable and self._policy.fsync == "always")
        except TornError as error:
            self._torn = True
            raise self._faults.unknown(
                f"The log in {self._folder.path} could not be written, nor cut back: {reason(error.__cause__)}."
            ) from error
        except OSError as error:
            raise self._refusal(error) from error

    def _writable(self) -> Log:
        if self._log is None or self._torn:
            raise self._faults.unavailable("The files are not open.", hint="open the store (again)")
        if self._outdated:
            raise self._faults.unavailable(
                f"The files in {self._folder.path} are of an older format and could not be written anew.",
                hint="make room on the disk and open the store again",
            )
        return self._log

    def _refusal(self, error: OSError) -> PersistenceError:
        return self._faults.unavailable(
            f"The change was refused, since it could not be written to {self._folder.path}: {reason(error)}.",
            hint="make room on the disk and repeat the call; nothing of it was kept",
        )

    def sync(self) -> None:
        """Wait until the disk has what was appended. Raises OSError, and then nothing more can be appended."""
        if self._log is None:
            return
        try:
            self._log.sync()
        except OSError:
            self._torn = True
            raise

    # --- snapshots ----------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether it is time for a snapshot."""
        if self._log is None:
            return False
        late = time.monotonic() - self._persisted_at > self._policy.persist_every
        return self._outdated or late or self._log.size > self._policy.persist_bytes

    def turn(self) -> int:
        """Begin the next log; return its number, for the snapshot of this moment. Raises OSError: the old one stays."""
        self._persisted_at = time.monotonic()
        number = self._generation + 1
        former = self._log
        last = None if former is None else former.number
        log = Log.begin(self._folder.file(LOG, number), header(self._source, number, after=last))
        try:
            self._folder.sync()
            if former is not None:
                former.sync()
        except BaseException:
            log.close()
            self._folder.file(LOG, number).unlink(missing_ok=True)
            raise
        if former is not None:
            former.close()
        self._generation, self._log, self._outdated = number, log, False
        return number

    def persist(self, generation: int, payloads: Iterable[bytes]) -> None:
        """Write the snapshot that belongs to a log's beginning, then remove what is older than the backups.

        Raises OSError: the former snapshots stay, and so do the logs since.
        """
        self._folder.replace(self._folder.file(SNAPSHOT, generation), self._snapshot(generation, payloads))
        self._forget()

    def _snapshot(self, generation: int, payloads: Iterable[bytes]) -> Iterator[bytes]:
        yield pack(0, header(self._source, generation))
        number = 1
        for payload in payloads:
            yield pack(number, payload)
            number += 1
        yield pack(number, END)

    def _forget(self) -> None:
        """Remove what no backup needs. Until there are enough, the first log stays: it leads from the empty store."""
        snapshots = self._folder.generations(SNAPSHOT)
        if len(snapshots) <= self._policy.backups:
            return
        kept = snapshots[-1 - self._policy.backups :]
        for kind in (SNAPSHOT, LOG):
            for generation in self._folder.generations(kind):
                if generation < kept[0]:
                    self._folder.file(kind, generation).unlink()
