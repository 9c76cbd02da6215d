"""The steps of the demo: the main job, once around, on real stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from shlex import quote

from rich.console import Console

from api.cli._output import one_line
from api.cli.demo.report import Told
from api.cli.demo.show import SHOWN, command, show
from api.cli.demo.story import TENANT, Story, choose_query
from api.cli.importing.job import Job
from api.cli.importing.options import Request, open_input
from persistence import AsyncPersistenceService
from persistence.errors import VersionConflictError
from persistence.ports.graph import GraphMemory
from persistence.records import Memory
from persistence.results import HealthStatus, Outcome, SearchHit, StorageStatus
from persistence.settings import PersistenceConfig
from sync import AsyncSyncService

#: Takes the edges of a memory away behind diptych's back; returns its id and how many, None where none has any.
Plant = Callable[[], Awaitable[tuple[str, int] | None]]

SAMPLE = 25
NOTE = " (Reviewed in the demo.)"
REVIEW = {"name": "Demo review", "type": "Review"}


@dataclass(slots=True)
class Demo:
    """The demo under way: what it works on and what it has told. ``plant``: takes a memory's edges away."""

    service: AsyncPersistenceService
    config: PersistenceConfig
    story: Story
    told: Told
    progress: Console
    plant: Plant | None = None
    stored: int = 0
    query: str = ""
    hits: list[SearchHit] = field(default_factory=list)

    async def run(self) -> None:
        """Tell every step; the first one that fails is the last."""
        steps = [self.open, self.load, self.search, self.walk, self.update, self.delete, self.again, self.status]
        if self.plant is not None:
            steps.append(self.drift)
        for step in steps:
            await step()
            if not self.told.ok:
                return

    async def open(self) -> None:
        """Show that both stores are there."""
        step = self.told.begin(
            "Two stores, one service",
            "Every memory is kept twice: as a vector, to find it by meaning, and in a graph, to walk from it. "
            "The vector store is the truth; the graph follows it.",
        )
        health = await self.service.get_health()
        for role, store in (("truth", health.vector), ("graph", health.graph)):
            step.facts[role] = {"kind": store.kind, "version": store.version, "status": store.status}
            version = f" {store.version}" if store.version else ""
            good = store.status is HealthStatus.HEALTHY
            step.check(f"{role}: {store.kind}{version}, {store.status}", passed=good)
        step.offer("$ diptych doctor")

    async def load(self) -> None:
        """Do the main job."""
        step = self.told.begin(
            "Import memories into both",
            f"Here: {self.story.title}. People, files, machines and the like become entities of the graph, "
            f"and what a memory says of them its edges. All of it belongs to the tenant {TENANT}, "
            "which is emptied first; nobody else's memories are touched.",
        )
        await self.service.delete_all(user_id=TENANT)
        pending = 0
        for request in self.story.requests:
            job = await self._job(request)
            await job.run(self.service)
            self.stored += job.tally.stored
            pending += job.tally.pending
            step.check(job.tally.sentence(), passed=not job.tally.rejected and job.tally.stored > 0)
        if pending:
            report = await self.service.drain()
            step.check(f"the relay brought the graph up to {report.applied:,} more", passed=not report.failed)
        step.facts.update(stored=self.stored, pending=pending, source=self.story.title)
        step.offer(*map(command, self.story.requests))

    async def search(self) -> None:
        """Find by meaning."""
        query = self.story.query or choose_query((await self.service.get_all(user_id=TENANT, limit=500)).memories)
        step = self.told.begin(
            "Search by meaning", f"The question is: {query!r}. Each hit comes with its similarity, 1 being the same."
        )
        found = await self.service.search(query, user_id=TENANT, limit=SHOWN)
        self.hits = list(found)
        for hit in found:
            step.say(f"{hit.score:5.2f}  {one_line(hit.memory.content, 80)}")
        step.facts.update(query=query, hits=[{"id": hit.memory.id, "score": hit.score} for hit in found])
        ordered = all((a.score or 0) >= (b.score or 0) for a, b in pairwise(found))
        step.check(f"{len(found)} hits, the best first", passed=bool(found) and ordered)
        if self.story.expected:
            ids = [hit.memory.id for hit in found]
            step.check(f"{self.story.expected} is among them", passed=self.story.expected in ids)
        step.offer(f"$ diptych search {quote(query)} --user {TENANT}")
        self.query = query

    async def walk(self) -> None:
        """Walk from a hit."""
        step = self.told.begin(
            "Walk from a hit in the graph",
            "What the hit speaks of, how these things relate, and which other memories speak of them too: "
            "that is what similarity alone does not tell.",
        )
        hit, related = await self._best_connected()
        step.say(one_line(hit.content, 90), "italic")
        graph = await self._in_graph(hit)
        step.check("the graph has this memory, at the version of the truth", passed=_same_version(graph, hit))
        show(step, graph)
        for other in related[:SHOWN]:
            via = ", ".join(link.entity for link in other.via)
            step.say(f"also: {one_line(other.memory.content, 60)}  (by {one_line(via, 30)})")
        step.check(f"{len(related)} related memories", passed=bool(related) or self.stored == 1)
        step.facts.update(id=hit.id, related=[other.memory.id for other in related])
        step.offer(f"$ diptych search {quote(self.query)} --user {TENANT} --expand 1")
        self.hits.sort(key=lambda other: other.memory.id != hit.id)

    async def update(self) -> None:
        """Change one memory in both stores."""
        before = self.hits[0].memory
        step = self.told.begin(
            "Update it",
            "One call changes both stores: a new text, and one more entity. Versions grow strictly, so that a writer "
            "who still holds the old one is refused instead of undoing the change.",
        )
        done = await self.service.update(
            before.id, user_id=TENANT, content=before.content + NOTE, entities=[*_entities(before), REVIEW]
        )
        good = done.outcome is Outcome.IN_STEP and done.graph is StorageStatus.OK
        step.check(f"version {before.version} became {done.version}, in both stores: {done.outcome}", passed=good)
        after = await self.service.get(before.id, user_id=TENANT)
        step.check("the truth has the new text", passed=after is not None and after.content.endswith(NOTE))
        graph = await self._in_graph(before)
        new = graph is not None and any(entity.name == REVIEW["name"] for entity in graph.entities)
        step.check("the graph has the new entity", passed=new and graph is not None and graph.version == done.version)
        step.check("a writer with the old version is refused", passed=await self._stale_is_refused(before))
        step.facts.update(id=before.id, before=before.version, after=done.version)
        step.offer(
            f">>> memories.update({before.id!r}, user_id={TENANT!r}, content=…, expected_version={done.version})"
        )

    async def delete(self) -> None:
        """Delete one memory from both stores."""
        gone = self.hits[0].memory
        step = self.told.begin(
            "Delete it",
            "It goes from both stores, edges and entities that nobody else mentions included; a late writer cannot "
            "bring it back.",
        )
        done = await self.service.delete(gone.id, user_id=TENANT)
        step.check(f"deleted, {done.outcome}", passed=done.changed and done.outcome is Outcome.IN_STEP)
        step.check("the truth has it no more", passed=await self.service.get(gone.id, user_id=TENANT) is None)
        step.check("the graph has it no more", passed=await self._in_graph(gone) is None)
        found = await self.service.search(gone.content, user_id=TENANT, limit=SHOWN, expand=1)
        hidden = all(hit.memory.id != gone.id for hit in found)
        step.check("a search for its own words finds others, by meaning and by graph", passed=hidden)
        step.facts.update(id=gone.id)
        step.offer(f"$ diptych delete {gone.id} --user {TENANT}")

    async def again(self) -> None:
        """Show that importing twice is importing once."""
        step = self.told.begin(
            "Import the same again",
            "A repeated import stores nothing twice: each memory has an id derived from what it is. What was deleted "
            "stays deleted, where it is told to.",
        )
        for request in self.story.requests:
            job = await self._job(replace(request, keep_deleted=True))
            await job.run(self.service)
            step.check(job.tally.sentence(), passed=job.tally.stored == 0)
        step.offer(*(f"{command(request)} --keep-deleted" for request in self.story.requests))

    async def status(self) -> None:
        """Compare both stores."""
        step = self.told.begin(
            "Look at both stores side by side",
            "What is in doubt is listed in the truth store's outbox, from before the graph is written until it was: "
            "when that is empty, nothing is in doubt, whatever crashed.",
        )
        count = await self.service.count(user_id=TENANT)
        step.check(f"the truth holds {count.value:,} memories of the demo", passed=count.value == self.stored - 1)
        page = await self.service.get_all(user_id=TENANT, limit=SAMPLE)
        graphs = [await self._in_graph(memory) for memory in page.memories]
        same = sum(_same_version(graph, memory) for graph, memory in zip(graphs, page.memories, strict=True))
        sampled = len(page.memories)
        step.check(f"{same} of {sampled} looked at are in the graph at the same version", passed=same == sampled)
        stats = await self.service.get_stats()
        outbox = stats.outbox
        if outbox is not None:
            step.say(f"outbox: {outbox.pending} pending, {outbox.dead} dead")
        step.facts.update(memories=count.value, sampled=sampled, same=same, pending=outbox and outbox.pending)
        step.offer("$ diptych status", f"$ diptych list --user {TENANT}")

    async def drift(self) -> None:
        """Plant a drift, find it, heal it."""
        step = self.told.begin(
            "Plant a drift, find it, heal it",
            "Nobody is kept from editing the graph by hand. Here the demo does: by SQL, behind diptych's back. A check "
            "finds it without reading what is in step, and a repair brings the graph back to the truth.",
        )
        planted = await self.plant() if self.plant else None
        if planted is None:
            step.check("a memory with edges, to take them from", passed=False)
            return
        memory_id, edges = planted
        step.say(f"planted: the {edges} edges of {memory_id} were deleted from the graph")
        sync = AsyncSyncService(self.service)
        found = await sync.check_consistency("structure", user_id=TENANT)
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(found.counts.items()) if number)
        named = memory_id in {drift.memory_id for drift in found.inconsistencies}
        step.check(f"the check found it: {kinds}", passed=named and not found.in_step)
        mended = await sync.repair_inconsistencies("structure", user_id=TENANT, dry_run=False)
        step.check(f"the repair healed it: {mended.repaired} repaired", passed=mended.repaired > 0 and mended.in_step)
        after = await sync.check_consistency("full", user_id=TENANT)
        step.check("both stores are in step, property by property", passed=after.in_step)
        step.facts.update(id=memory_id, planted=edges, found=found.found, repaired=mended.repaired)
        command = f"--depth structure --user {TENANT}"
        step.offer(f"$ diptych check {command}", f"$ diptych repair {command} --apply")

    async def _job(self, request: Request) -> Job:
        stop = threading.Event()
        found = await asyncio.to_thread(open_input, request, self.config, stop, count=self.progress.is_terminal)
        return Job(request, found, stop, self.progress, self.config.batch_size)

    async def _best_connected(self) -> tuple[Memory, list[SearchHit]]:
        """Return the best hit that has related memories, and these; the expected one before all others."""
        for hit in sorted(self.hits, key=lambda hit: hit.memory.id != self.story.expected):
            related = list(await self.service.related(hit.memory.id, user_id=TENANT, limit=SHOWN))
            if related:
                return hit.memory, related
        return self.hits[0].memory, []

    async def _in_graph(self, memory: Memory) -> GraphMemory | None:
        return await self.service.neighbourhood(memory.id, user_id=TENANT)

    async def _stale_is_refused(self, memory: Memory) -> bool:
        try:
            await self.service.update(memory.id, user_id=TENANT, content="late", expected_version=memory.version)
        except VersionConflictError:
            return True
        return False


def _entities(memory: Memory) -> list[object]:
    return [entity.model_dump() for entity in memory.entities]


def _same_version(graph: GraphMemory | None, memory: Memory) -> bool:
    return graph is not None and graph.version == memory.version
