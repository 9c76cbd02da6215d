"""What was known of one memory when, by those who wrote and read it, and the rules that follow from it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from tests.faults.histories.records import Ended, Operation


class Verdict(StrEnum):
    """What became of a memory, the worst last."""

    STABLE = "stable"
    STALE = "stale"
    """Something older than was acknowledged was seen, or is left."""
    RESURRECTED = "resurrected"
    """What was deleted, or was said never to have been written, was seen, or is left."""
    LOST = "lost"
    """What was acknowledged is gone."""


class Fact(NamedTuple):
    """What somebody knew of a memory at ``at``; ``content`` None: that it was deleted."""

    at: float
    version: int
    content: str | None
    digest: int | None
    source: str


class History:
    """The writes of one memory, and what was known of it when."""

    def __init__(self, writes: Sequence[Operation], reads: Sequence[Operation]) -> None:
        self.acknowledged = [w for w in writes if w.outcome is Ended.OK and w.changed]
        self._by_content = {w.content: w for w in writes if w.content is not None}
        self._deletes = [w for w in writes if w.do == "delete" and w.outcome is not Ended.FAILED and w.changed]
        self._facts = _growing([*map(_fact, self.acknowledged), *(_fact(r) for r in reads if r.content)])
        self._times = [fact.at for fact in self._facts]

    def known(self, before: float) -> Fact | None:
        """Return the newest that anyone knew of before that moment."""
        place = bisect.bisect_left(self._times, before)
        return self._facts[place - 1] if place else None

    def twice(self) -> Iterator[tuple[Verdict, str]]:
        """Of two writes acknowledged at one version, one is gone."""
        versions: dict[int | None, Operation] = {}
        for write in self.acknowledged:
            other = versions.setdefault(write.version, write)
            if other is not write:
                yield Verdict.LOST, f"{other.name} and {write.name} were both acknowledged at version {write.version}"

    def judge_write(self, write: Operation) -> Iterator[tuple[Verdict, str]]:
        """See that a write went above all that was known when it began, and replaced what it was to replace."""
        fact, version = self.known(write.began), write.version or 0
        if fact is not None and version <= fact.version:
            yield Verdict.STALE, f"{write.name} was acknowledged at {version}, below {_say(fact)}"
        if write.expected is None:
            return
        for other in self.acknowledged:
            if write.expected < (other.version or 0) < version:
                yield (
                    Verdict.STALE,
                    f"{write.name} was to replace {write.expected}, and replaced {other.name}'s {other.version}",
                )

    def judge_read(self, read: Operation) -> Iterator[tuple[Verdict, str]]:
        """See that what was seen was written, and is not older than what was known."""
        writer, version = self._by_content.get(read.content), read.version or 0
        if writer is None or writer.outcome is Ended.FAILED:
            yield Verdict.RESURRECTED, f"{read.name} saw {read.content}, which was never written"
            return
        if writer.outcome is Ended.OK and (wrong := _unlike(writer, read)):
            yield Verdict.STALE, f"{read.name} saw {read.content} at {version}, {wrong}"
        fact = self.known(read.began)
        if fact is not None and self._is_older(writer, version, fact):
            verdict = Verdict.STALE if fact.content else Verdict.RESURRECTED
            yield verdict, f"{read.name} saw {read.content} at {version}, though there had been {_say(fact)}"

    def _is_older(self, writer: Operation, version: int, fact: Fact) -> bool:
        """Say whether the writer's content at the version is older than the fact; a higher version can hide that."""
        if version < fact.version or (version == fact.version and writer.content != fact.content):
            return True
        settled = writer.outcome is Ended.OK and writer.version is not None
        return settled and (writer.version or 0) < fact.version and writer.content != fact.content

    def judge_kept(self, seen: Operation) -> Iterator[tuple[Verdict, str]]:
        """See that what a patch left as it was is of the last put below it: else the patch undid that one unseen."""
        put = self._by_content.get(seen.kept)
        if put is None or put.version is None:
            return
        for other in self.acknowledged:
            if other.do == "put" and put.version < (other.version or 0) <= (seen.version or 0):
                yield Verdict.STALE, f"{seen.name} at {seen.version} is on top of {put.name}, not of {other.name}"

    def judge_absence(self, read: Operation) -> Iterator[tuple[Verdict, str]]:
        """Where nothing is seen, someone may have deleted what was known."""
        fact = self.known(read.began)
        if fact is None or fact.content is None:
            return
        if not any(self._may_follow(delete, fact, read) for delete in self._deletes):
            yield Verdict.LOST, f"{read.name} saw nothing, though there had been {_say(fact)}"

    def _may_follow(self, delete: Operation, fact: Fact, read: Operation) -> bool:
        if delete.began > read.ended:
            return False
        return delete.outcome is Ended.UNKNOWN or (delete.version or 0) > fact.version


def _unlike(writer: Operation, read: Operation) -> str | None:
    """Say what is wrong with what was read of an acknowledged write; the relay may have raised its version."""
    if (read.version or 0) < (writer.version or 0):
        return f"which was acknowledged at {writer.version}"
    if read.version == writer.version and None not in {read.digest, writer.digest} and read.digest != writer.digest:
        return f"of digest {read.digest}, which was acknowledged with {writer.digest}"
    return None


def _fact(operation: Operation) -> Fact:
    return Fact(operation.ended, operation.version or 0, operation.content, operation.digest, operation.name)


def _growing(facts: Iterable[Fact]) -> list[Fact]:
    """Return, in the order of time, those facts that were news."""
    news: list[Fact] = []
    for fact in sorted(facts, key=lambda fact: fact[:2]):
        if not news or fact.version > news[-1].version:
            news.append(fact)
    return news


def _say(fact: Fact) -> str:
    return f"{fact.content or 'a deletion'} at {fact.version} ({fact.source})"
