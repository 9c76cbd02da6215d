"""The truth's connections: those of every store on PostgreSQL, with the truth's errors."""

from __future__ import annotations

from functools import partial

from persistence.postgres import connecting
from persistence.postgres.connecting import Connection
from persistence.vector.pgvector.errors import FAULTS

__all__ = ["Connection", "conninfo", "direct"]

conninfo = partial(connecting.conninfo, faults=FAULTS)
direct = partial(connecting.direct, faults=FAULTS)
