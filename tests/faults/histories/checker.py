"""Reads histories and what is there in the end, and says of each memory whether it is stable.

Versions grow with every write of a memory, so what a caller was told is a bound on what anyone may see afterwards:
a *fact* is a version with its content that someone knew of at a moment, because a write of it was acknowledged or a
read showed it. Whatever began later than that must be at least as new. An operation whose outcome is unknown may have
happened at any time from its beginning on, or never; it is a fact once somebody has seen it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.faults.histories.history import History, Verdict
from tests.faults.histories.records import Ended, Key, Operation

WRITES = frozenset({"put", "patch", "delete"})
SEVERITY = list(Verdict)


class Finding(NamedTuple):
    """One rule that one memory breaks."""

    key: Key
    verdict: Verdict
    sentence: str


class Seen(NamedTuple):
    """What truth has of a memory in the end; ``content`` None: a tombstone, or nothing where there is no version."""

    version: int | None
    content: str | None
    digest: int | None = None
    kept: str | None = None


@dataclass(frozen=True)
class Judgement:
    """What the checker has to say of a run."""

    findings: tuple[Finding, ...]
    verdicts: Mapping[Key, Verdict]

    def count(self, verdict: Verdict) -> int:
        """Return how many memories are so."""
        return Counter(self.verdicts.values())[verdict]


def judge(operations: Iterable[Operation], final: Mapping[Key, Seen]) -> Judgement:
    """Judge every memory that somebody wrote or that is there in the end."""
    histories: dict[Key, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.do != "check":
            histories[operation.key].append(operation)
    keys = sorted({*histories, *final})
    findings = [found for key in keys for found in judge_one(key, histories[key], final.get(key, Seen(None, None)))]
    verdicts = dict.fromkeys(keys, Verdict.STABLE)
    for finding in findings:
        verdicts[finding.key] = max(verdicts[finding.key], finding.verdict, key=SEVERITY.index)
    return Judgement(tuple(findings), verdicts)


def judge_one(key: Key, operations: Sequence[Operation], final: Seen) -> list[Finding]:
    """Return what is wrong with one memory."""
    last = Operation("the end", "read", key, math.inf, math.inf, Ended.OK, **final._asdict())
    reads = [*map(_as_read, filter(_is_read, operations)), last]
    history = History([o for o in operations if o.do in WRITES], reads)
    return [Finding(key, *broken) for broken in _broken(history, reads)]


def _broken(history: History, reads: Sequence[Operation]) -> Iterator[tuple[Verdict, str]]:
    yield from history.twice()
    for write in history.acknowledged:
        yield from history.judge_write(write)
        yield from history.judge_kept(write)
    for read in reads:
        yield from history.judge_read(read) if read.content else history.judge_absence(read)
        yield from history.judge_kept(read)


def _is_read(operation: Operation) -> bool:
    """Say whether the operation showed what is there; so does a delete that found nothing to do."""
    if operation.do == "delete":
        return operation.outcome is Ended.OK and not operation.changed
    if operation.do == "patch":
        return operation.outcome is Ended.FAILED and operation.error == "MemoryNotFoundError"
    return operation.do == "read" and operation.outcome is Ended.OK


def _as_read(operation: Operation) -> Operation:
    return operation if operation.do == "read" else replace(operation, do="read", content=None)
