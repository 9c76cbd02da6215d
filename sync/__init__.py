"""Where the graph is not what truth says: found, mended, rebuilt, on a schedule or at once, without stopping anything.

Begin with ``AsyncSyncService(memories)``, or ``SyncService(memories)`` for code without an event loop, where
``memories`` is the open service whose stores are meant. ``AutoSync`` does it on a schedule.
"""

from persistence.errors import (
    LeaseLostError,
    RunCancelledError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    SyncError,
)
from persistence.ports.runs import Depth, Kind, Recorded, Run, RunKind, RunState
from persistence.ports.runs import Inconsistency as SyncInconsistency
from sync.alerts import Alert, Event, Hook
from sync.blocking import SyncService
from sync.model import (
    Checked,
    CheckReport,
    DriftPoint,
    Pace,
    Progress,
    RebuildReport,
    RepairReport,
    Strategy,
    SyncResult,
    SyncStats,
)
from sync.schedule import AutoSync, opened
from sync.service import AsyncSyncService

__all__ = [
    "Alert",
    "AsyncSyncService",
    "AutoSync",
    "CheckReport",
    "Checked",
    "Depth",
    "DriftPoint",
    "Event",
    "Hook",
    "Kind",
    "LeaseLostError",
    "Pace",
    "Progress",
    "RebuildReport",
    "Recorded",
    "RepairReport",
    "Run",
    "RunCancelledError",
    "RunConflictError",
    "RunEndedError",
    "RunKind",
    "RunNotFoundError",
    "RunState",
    "Strategy",
    "SyncError",
    "SyncInconsistency",
    "SyncResult",
    "SyncService",
    "SyncStats",
    "opened",
]
