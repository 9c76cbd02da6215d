"""What making, checking, restoring and removing backups reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sync.backing.manifest import Consistency, Manifest, name_of


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What one backup holds. ``parent`` None: all of it is in this one; else it stands on that one."""

    name: str
    backup_id: UUID
    parent: UUID | None
    chain: int
    consistency: Consistency
    complete_to: int
    live: int
    counts: Mapping[str, int]
    bytes: int
    encrypted: bool
    started_at: datetime
    duration_ms: float

    @classmethod
    def of(cls, manifest: Manifest) -> BackupReport:
        """Return what a manifest says."""
        took = manifest.finished_at - manifest.started_at
        return cls(
            name=name_of(manifest),
            backup_id=manifest.id,
            parent=manifest.parent,
            chain=manifest.chain,
            consistency=manifest.consistency,
            complete_to=manifest.complete_to,
            live=manifest.live,
            counts={section.value: count for section, count in manifest.counts.items()},
            bytes=manifest.size,
            encrypted=manifest.encryption is not None,
            started_at=manifest.started_at,
            duration_ms=took.total_seconds() * 1_000,
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry of a list of backups. ``report`` None: it cannot be read; ``trouble`` says why."""

    name: str
    report: BackupReport | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did; a dry run's has the same shape.

    ``chain``: the backups that were brought, the oldest first. ``planned``: memories that the target lacks, or has in
    an older version. ``written``, ``left``: memories and tombstones that were written, or left alone because what was
    there is not older. At the end, of the live memories of the backup, ``same`` are there as they were, ``newer`` in a
    newer version or deleted since, ``wrong`` otherwise. ``pending``: listed for the graph.
    """

    name: str
    chain: tuple[str, ...]
    dry_run: bool
    live: int
    planned: int
    written: int
    left: int
    same: int
    newer: int
    wrong: int
    pending: int
    floor: int
    started_at: datetime
    duration_ms: float

    @property
    def in_step(self) -> bool:
        """Whether everything that was in the backup is there now."""
        return not self.wrong


def as_json(report: BackupReport | RestoreReport) -> dict[str, Any]:
    """Return a report as JSON."""
    fields = asdict(report)
    if isinstance(report, RestoreReport):
        fields |= {"chain": list(report.chain), "in_step": report.in_step}
    else:
        fields |= {"backup_id": str(report.backup_id), "parent": report.parent and str(report.parent)}
        fields |= {"counts": dict(report.counts), "kind": "incremental" if report.parent else "full"}
    started_at = report.started_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return fields | {"started_at": started_at, "duration_ms": round(report.duration_ms, 3)}
