"""What a backup says of itself: one file beside its parts, written last.

Its digest tells damage; where the backup is encrypted, its seal tells whether somebody changed it who does not have the
passphrase.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from persistence.errors import BackupDamagedError, BackupError, InvalidInputError
from persistence.opening import plain
from persistence.projection import EXACT
from persistence.records import Record, validated

FORMAT = 1
NAME = "manifest.json"
#: A manifest with a part for each 64 MB of ten terabytes is smaller.
_LARGEST = 64_000_000
_FOLDER = re.compile(r"[0-9]{8}T[0-9]{12}Z-(?:full|more)-[0-9a-f]{8}", re.ASCII)

Version = Annotated[int, Field(ge=0, lt=EXACT)]
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Salt = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Section(StrEnum):
    """What the rows of a part are."""

    HEADS = "heads"
    """Every live memory at that moment without its content, in the order of buckets; also those of former backups."""
    MEMORIES = "memories"
    TOMBSTONES = "tombstones"
    OUTBOX = "outbox"
    RUNS = "runs"
    INCONSISTENCIES = "inconsistencies"


class Consistency(StrEnum):
    """Of which moment the memories are."""

    SNAPSHOT = "snapshot"
    """All of one moment."""
    PER_MEMORY = "per_memory"
    """Each is whole; what was acknowledged before the backup began is there, as it was then or was written since."""


class Part(Record):
    """One file of rows."""

    name: Annotated[str, Field(pattern=r"^[a-z]+-[0-9]{5}\.part$")]
    section: Section
    rows: Count
    bytes: Count
    sha256: Digest


class Store(Record):
    """The truth that was backed up."""

    store_id: UUID
    kind: str
    schema_version: int
    model: str
    dimension: Annotated[int, Field(ge=1, le=65_536)]
    floor: Version
    graph_id: UUID | None


class Encryption(Record):
    """How the key follows from the passphrase. ``check`` tells the right one without anything being decrypted."""

    cipher: Literal["chacha20-poly1305"] = "chacha20-poly1305"
    kdf: Literal["scrypt"] = "scrypt"
    n: Annotated[int, Field(ge=2**14, le=2**20)]
    r: Annotated[int, Field(ge=1, le=32)] = 8
    p: Annotated[int, Field(ge=1, le=4)] = 1
    salt: Salt
    check: Digest


class Tenants(Record):
    """How many live memories each tenant has; a name is there only as its salted hash (encrypted: keyed)."""

    salt: Salt
    counts: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")], Count]


class Manifest(Record):
    """What a backup says of itself.

    ``complete_to``: every version up to it that was ever acknowledged is in the backup, or a newer one of the memory.
    ``oldest``, ``newest``: versions of the live memories. ``counts``: rows by section. ``tenants`` None: too many.
    """

    diptych: Literal["backup"] = "backup"
    format: int
    id: UUID
    parent: UUID | None
    chain: Annotated[int, Field(ge=1)]
    made_by: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    store: Store
    consistency: Consistency
    complete_to: Version
    oldest: Version | None
    newest: Version | None
    counts: dict[Section, Count]
    tenants: Tenants | None
    compression: Literal["zstd"] = "zstd"
    encryption: Encryption | None
    parts: tuple[Part, ...]

    @property
    def live(self) -> int:
        """The live memories at that moment."""
        return self.counts[Section.HEADS]

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return sum(part.bytes for part in self.parts)

    def of(self, section: Section) -> list[Part]:
        """Return the parts of a section, in their order."""
        return [part for part in self.parts if part.section is section]


class Sealed(Record):
    """A manifest file. ``seal`` is keyed, and there only where the backup is encrypted."""

    manifest: dict[str, Any]
    sha256: Digest
    seal: Digest | None


def canonical(manifest: dict[str, Any]) -> bytes:
    """Return the bytes that digest and seal are of."""
    return json.dumps(manifest, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def as_json(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as JSON."""
    return manifest.model_dump(mode="json")


def digest(manifest: dict[str, Any]) -> str:
    """Return what tells damage."""
    return hashlib.sha256(canonical(manifest)).hexdigest()


def read(folder: Path) -> tuple[Manifest, Sealed]:
    """Read the manifest of one backup. Raises BackupDamagedError, BackupError (a newer format, no backup)."""
    path = folder / NAME
    try:
        with open(path, "rb", opener=plain) as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise BackupDamagedError(f"{path} cannot be read: {error.strerror}.") from error
    sealed = _parsed(path, raw)
    if sealed.manifest.get("format") != FORMAT:
        found = sealed.manifest.get("format")
        raise BackupError(
            f"{folder} has the format {found!r}, and this version reads {FORMAT}.", hint="upgrade diptych"
        )
    return _checked(path, sealed.manifest), sealed


def _parsed(path: Path, raw: bytes) -> Sealed:
    try:
        sealed = validated(Sealed, json.loads(raw))
    except (InvalidInputError, ValueError, RecursionError) as error:
        raise BackupDamagedError(f"{path} is damaged: it is no manifest.") from error
    if len(raw) > _LARGEST or sealed.sha256 != digest(sealed.manifest):
        raise BackupDamagedError(f"{path} is damaged: it is not what was written.")
    return sealed


def _checked(path: Path, said: dict[str, Any]) -> Manifest:
    try:
        manifest = validated(Manifest, said)
    except InvalidInputError as error:
        raise BackupDamagedError(f"{path} is damaged: {error.field} is not as it was written.") from error
    names = [part.name for part in manifest.parts]
    totals = {section: sum(part.rows for part in manifest.of(section)) for section in Section}
    if len(set(names)) != len(names) or totals != manifest.counts:
        raise BackupDamagedError(f"{path} is damaged: its parts are not what it counts.")
    return manifest


def name_of(manifest: Manifest) -> str:
    """Return the name of a backup's folder: names are in the order of time."""
    return folder_name(manifest.started_at, manifest.id, full=manifest.parent is None)


def folder_name(started_at: datetime, backup_id: UUID, *, full: bool) -> str:
    """Return the name of a backup's folder."""
    return f"{started_at:%Y%m%dT%H%M%S}{started_at.microsecond:06}Z-{'full' if full else 'more'}-{backup_id.hex[:8]}"


def is_folder_name(name: str) -> bool:
    """Say whether a name is one that backups are given; any other one somebody has given."""
    return _FOLDER.fullmatch(name) is not None
