"""From older formats to the newest, one version at a time. A version that was ever released stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain

import numpy as np

from persistence.vector.memory.encoding import FORMAT, Part, Payload
from persistence.vector.memory.rows import COLUMNS


def migrated(version: int, payload: Payload) -> Payload:
    """Return a payload of an older version as one of the newest."""
    for older in range(version, FORMAT):
        payload = _STEPS[older](payload)
    return payload


def _from_1(payload: Payload) -> Payload:
    """Version 1 had memories as objects, their embeddings in them as lists of numbers."""
    memories = [row for part in payload.parts if part.table == "memories" for row in part.rows]
    numbers = list(chain.from_iterable(row["embedding"] for row in memories))  # type: ignore[call-overload]  # objects
    parts = [_columns(part) if part.table == "memories" else part for part in payload.parts]
    return Payload(parts, np.array(numbers, dtype="<f4").tobytes())


def _columns(part: Part) -> Part:
    rows = [[row[name] for name in COLUMNS] for row in part.rows]  # type: ignore[call-overload]  # objects
    return part._replace(rows=rows)


_STEPS: Mapping[int, Callable[[Payload], Payload]] = {1: _from_1}
