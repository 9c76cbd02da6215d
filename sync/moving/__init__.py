"""Moving house: one truth is copied into another, online, at exact versions; the source is never changed.

    report = await move(source, target)

The source's memories are walked from a durable cursor; then what was written there meanwhile is found by comparing the
sums of both truths, and copied, until both agree or, while writers go on, the difference gets no smaller. The run's
record lies in the target: another call takes up where a dead one stopped.
"""

from sync.moving.model import MoveReport, move_json
from sync.moving.service import move

__all__ = ["MoveReport", "move", "move_json"]
