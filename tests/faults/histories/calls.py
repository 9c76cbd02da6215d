"""The calls of one client: which comes next is drawn from its seed; each is recorded before and after."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from persistence import (
    AsyncPersistenceService,
    DeadlineExceededError,
    InvalidInputError,
    Memory,
    MemoryNotFoundError,
    Outcome,
    OutcomeUnknownError,
    PersistenceError,
    PersistenceResult,
    VectorStoreError,
    VersionConflictError,
)
from persistence.errors import BulkInterruptedError, SyncError
from sync import AsyncSyncService
from tests.faults.histories.records import Ended, Recorder
from tests.faults.stores import vector

TENANTS = ("alice", "bob", "carol")
#: Few ids at a time, so that processes meet at them, and others every two seconds: what is wrong with those that were
#: left stays so, and is found in the calm. Some calls come back to one of the last minute's.
IDS, WINDOW, BACK, LAST = 4, 2.0, 0.2, 30
NAMES, KINDS = 6, ("Person", "Place")
BATCH = 8
#: What says that nothing was written. Everything else that a write raises leaves it open.
NOTHING_DONE = (
    VectorStoreError, DeadlineExceededError, VersionConflictError, MemoryNotFoundError, InvalidInputError
)  # fmt: skip
#: What a call does, and how often of a hundred.
MIX = {"store": 34, "update": 20, "delete": 16, "batch": 8, "get": 22}
CANCELLED = 0.02
#: What a check may do besides checking.
CHECKS = {"quick": 6, "structure": 3, "full": 1, "repair": 2, "rebuild": 1}

Draft = dict[str, Any]


class Calls:
    """Makes calls on a service, one after another."""

    def __init__(
        self,
        memories: AsyncPersistenceService,
        sync: AsyncSyncService,
        recorder: Recorder,
        chance: random.Random,
        process: str,
        numbers: Iterator[int],
    ) -> None:
        self.chance = chance
        self._memories = memories
        self._sync = sync
        self._recorder = recorder
        self._process = process
        self._numbers = numbers
        self._versions: dict[tuple[str, str], int] = {}

    async def one(self) -> None:
        """Make the call that comes next."""
        (do,) = self.chance.choices([*MIX], [*MIX.values()])
        await getattr(self, f"_{do}")()

    # --- writes -----------------------------------------------------------------------------------------------

    async def _store(self) -> None:
        draft = self._draft(self._key())
        await self._write([self._begin("put", draft)], lambda: self._memories.store(**draft))

    async def _update(self) -> None:
        draft = self._draft(self._key())
        whole = self.chance.random() < 0.5
        changes = {name: draft[name] for name in ("content", "entities", "relationships")[: 3 if whole else 1]}
        begun = self._begin("patch", draft, expecting=True)
        await self._write([begun], lambda: self._memories.update(**_named(begun), **changes))

    async def _delete(self) -> None:
        user_id, memory_id = self._key()
        begun = self._begin("delete", {"user_id": user_id, "id": memory_id}, expecting=True)
        await self._write([begun], lambda: self._memories.delete(**_named(begun)))

    async def _batch(self) -> None:
        tenant = self.chance.choice(TENANTS)
        drafts = [self._draft((tenant, self._key()[1])) for _ in range(self.chance.randint(2, BATCH))]
        begun = [self._begin("put", draft) for draft in drafts]
        await self._write(begun, lambda: self._memories.store_many(drafts))

    async def _write(self, begun: Sequence[Draft], call: Callable[[], Awaitable[Any]]) -> None:
        """Make a call that writes, and record for each of its memories what became of it."""
        self._recorder.began(begun)
        try:
            answer = await self._maybe_cancelled(call)
        except BulkInterruptedError as error:
            self._ended(begun, error.results, error.__cause__ or error)
        except (PersistenceError, TimeoutError) as error:
            self._ended(begun, {}, error)
        else:
            results = answer if isinstance(answer, list) else [answer]
            self._ended(begun, dict(enumerate(results)), None)

    async def _maybe_cancelled(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.chance.random() >= CANCELLED:
            return await call()
        async with asyncio.timeout(self.chance.uniform(0.0, 0.02)):
            return await call()

    def _ended(self, begun: Sequence[Draft], results: Any, error: BaseException | None) -> None:
        answers = [
            {"name": one["name"], **(_answer(results[place]) if place in results else _failure(error))}
            for place, one in enumerate(begun)
        ]
        self._recorder.ended(answers)
        for one, answer in zip(begun, answers, strict=True):
            self._note(one, answer)

    def _note(self, begun: Draft, answer: Draft) -> None:
        """Keep the version, to be expected by a later write."""
        if answer["outcome"] == Ended.OK and answer.get("version") and begun["do"] != "delete":
            self._versions[tuple(begun["key"])] = answer["version"]
        else:
            self._versions.pop(tuple(begun["key"]), None)

    # --- reads ------------------------------------------------------------------------------------------------

    async def _get(self) -> None:
        key = self._key()
        begun = self._begin("read", {"user_id": key[0], "id": key[1]})
        self._recorder.began([begun])
        try:
            memory = await self._memories.get(key[1], user_id=key[0])
        except PersistenceError as error:
            answer: Draft = {"outcome": Ended.FAILED, "error": type(error).__name__}
        else:
            answer = {"outcome": Ended.OK, **_seen(memory)}
        self._recorder.ended([{"name": begun["name"], **answer}])
        self._note(begun, answer)

    async def check(self) -> None:
        """Check, repair or rebuild, of one tenant or of all; what differs is listed, so nothing may be found."""
        (do,) = self.chance.choices([*CHECKS], [*CHECKS.values()])
        tenant = self.chance.choice([*TENANTS, None])
        begun = self._begin("check", {"user_id": tenant or "", "id": do})
        self._recorder.began([begun])
        try:
            found = await self._checked(do, tenant)
        except (PersistenceError, SyncError) as error:
            answer: Draft = {"outcome": Ended.FAILED, "error": type(error).__name__}
        else:
            answer = {"outcome": Ended.OK, "found": len(found), "error": "; ".join(map(str, found[:3])) or None}
        self._recorder.ended([{"name": begun["name"], **answer}])

    async def _checked(self, do: str, tenant: str | None) -> Sequence[Any]:
        if do == "rebuild":
            await self._sync.rebuild_graph(user_id=tenant)
            return ()
        if do == "repair":
            return (await self._sync.repair_inconsistencies(user_id=tenant, dry_run=False)).check.inconsistencies
        report = await self._sync.check_consistency(do, user_id=tenant)
        return report.inconsistencies if report.found else ()

    # --- what a call is about -----------------------------------------------------------------------------------

    def _begin(self, do: str, about: Draft, *, expecting: bool = False) -> Draft:
        key = (about["user_id"], about["id"])
        expected = self._versions.get(key) if expecting and self.chance.random() < 0.4 else None
        name = about.get("content") or f"{self._process}.{next(self._numbers)}"
        return {"name": name, "do": do, "key": key, "content": about.get("content"), "expected": expected}

    def _key(self) -> tuple[str, str]:
        back = self.chance.randint(1, LAST) if self.chance.random() < BACK else 0
        window = int(time.monotonic() / WINDOW) - back
        return self.chance.choice(TENANTS), f"m{window}.{self.chance.randrange(IDS)}"

    def _draft(self, key: tuple[str, str]) -> Draft:
        """Return a memory whose content no other has, about entities that others are about too."""
        chosen = self.chance.sample(range(NAMES), self.chance.randint(1, 3))
        entities = [{"name": f"E{n}", "type": KINDS[n % 2], "properties": {"n": n}} for n in chosen]
        ends = [entity["name"] for entity in entities]
        relations = [{"source": a, "type": "KNOWS", "target": b} for a, b in itertools.pairwise(ends)]
        number = next(self._numbers)
        return {
            "user_id": key[0],
            "id": key[1],
            "content": f"{self._process}.{number}",
            "entities": entities,
            "relationships": relations,
            "embedding": vector(number),
            "metadata": {"put": f"{self._process}.{number}"},
        }


def _named(begun: Draft) -> Draft:
    user_id, memory_id = begun["key"]
    return {"id": memory_id, "user_id": user_id, "expected_version": begun["expected"]}


def _seen(memory: Memory | None) -> Draft:
    if memory is None:
        return {"content": None}
    return {"content": memory.content, "version": memory.version, **_of(memory)}


def _of(memory: Memory) -> Draft:
    return {"digest": memory.digest, "kept": memory.metadata["put"]}


def _answer(result: PersistenceResult) -> Draft:
    if result.outcome is Outcome.SUPERSEDED and not result.changed:
        return {"outcome": Ended.FAILED, "error": "superseded in its batch"}
    said = _of(result.memory) if result.memory else {}
    return {"outcome": Ended.OK, "version": result.version, "changed": result.changed, **said}


def _failure(error: BaseException | None) -> Draft:
    said = isinstance(error, NOTHING_DONE) and not isinstance(error, OutcomeUnknownError)
    return {"outcome": Ended.FAILED if said else Ended.UNKNOWN, "error": type(error).__name__}
