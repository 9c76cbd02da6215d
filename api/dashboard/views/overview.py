"""The first screen: everything on it is read at once, and what could not be read is None."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from api.dashboard.series import Backlog
from api.dashboard.views.charts import Chart, backlog_chart, drift_chart
from api.dashboard.views.checks import Checks, read_checks
from api.dashboard.views.failures import Failures, read_failures
from api.dashboard.views.reading import PAGE_TIME, obtained, of_truth
from api.dashboard.views.verdict import Evidence, Verdict, judge
from api.http.host import Host
from persistence.assembly import Parts
from persistence.ports.runs import Depth, Kind, Run, RunState
from persistence.results import Count, HealthCheck, OutboxStats

#: Runs under way that are shown, and those of them that are followed live: a browser opens six connections to a server.
RUNNING, LIVE = 10, 3


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first screen shows."""

    verdict: Verdict
    health: HealthCheck
    truth_count: Count
    graph_count: Count
    outbox: OutboxStats | None
    open: Mapping[Kind, int] | None
    checks: Checks | None
    running: list[Run] | None
    failures: Failures | None
    drift: Chart
    backlog: Chart
    taken_at: datetime

    @property
    def plan_depth(self) -> Depth:
        """How closely a plan has to look to see what the last checks found."""
        last = self.checks.last if self.checks else {}
        return max((depth for depth, point in last.items() if point.found), key=lambda d: d.rank, default=Depth.QUICK)


async def read_overview(host: Host, user_id: str | None, backlog: Backlog) -> Overview:
    """Look at everything, of one tenant or of all."""
    stores, records = await asyncio.gather(
        host.desk.board.stores(user_id, timeout=PAGE_TIME), _records(host, user_id, backlog)
    )
    health, truth, graph = stores
    opened, checks, running, failures = records
    parts, outbox, now = host.memories.parts, health.outbox, datetime.now(UTC)
    backlog.take(outbox, parts.relay.failed)
    return Overview(
        verdict=judge(Evidence(health, outbox, opened, checks.basis if checks else None, now)),
        health=health,
        truth_count=truth,
        graph_count=graph,
        outbox=outbox,
        open=opened,
        checks=checks,
        running=running,
        failures=failures,
        drift=drift_chart(checks.drift if checks else ()),
        backlog=backlog_chart(backlog.samples, now),
        taken_at=now,
    )


async def _records(
    host: Host, user_id: str | None, backlog: Backlog
) -> tuple[Mapping[Kind, int] | None, Checks | None, list[Run] | None, Failures | None]:
    parts, sync = host.memories.parts, host.sync
    return await asyncio.gather(
        _open(parts, user_id),
        obtained(read_checks(parts, sync, user_id)),
        obtained(sync.list_runs(user_id=user_id, state=RunState.RUNNING, limit=RUNNING)),
        obtained(read_failures(parts, sync, user_id, backlog)),
    )


async def _open(parts: Parts, user_id: str | None) -> Mapping[Kind, int] | None:
    counts = await obtained(of_truth(parts, lambda store: store.count_open(user_id)))
    return None if counts is None else {kind: number for kind, number in sorted(counts.items()) if number}
