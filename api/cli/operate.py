"""`status` and `relay`: how the two stores stand, and bringing the graph up to truth."""

from __future__ import annotations

import typer
from rich.text import Text

from api.cli._output import one_line, styled
from api.cli._run import ATTENTION, TROUBLE, Cli, command
from api.cli._show import short_time
from api.shapes import status_json
from persistence.results import Count, HealthCheck, HealthStatus, OutboxStats, Stats, StoreHealth
from sync import AsyncSyncService, Depth, DriftPoint, SyncStats

app = typer.Typer()

_STYLE = {
    HealthStatus.HEALTHY: "green",
    HealthStatus.DEGRADED: "yellow",
    HealthStatus.UNHEALTHY: "bold red",
    HealthStatus.DISABLED: "dim",
}


@command(app)
async def status(cli: Cli) -> int | None:
    """Show whether both stores answer, how much they hold, how much is in doubt, and what the last checks found.

    Exits with 2 where a store that is configured cannot be reached.
    """
    async with cli.service() as memories:
        health, stats = await memories.get_health(), await memories.get_stats()
        reachable = health.vector.status is not HealthStatus.UNHEALTHY
        sync = await AsyncSyncService(memories).get_stats() if reachable else None
    if cli.json:
        cli.output.data(status_json(health, stats, sync))
    else:
        _show_status(cli, health, stats, sync)
    return TROUBLE if HealthStatus.UNHEALTHY in (health.vector.status, health.graph.status) else None


def _show_status(cli: Cli, health: HealthCheck, stats: Stats, sync: SyncStats | None) -> None:
    cli.output.line(styled(("status  ", "dim"), (health.status.value, _STYLE[health.status])))
    cli.output.line(_store_line("vector", health.vector, stats.vector))
    cli.output.line(_store_line("graph", health.graph, stats.graph))
    cli.output.line(styled(("outbox  ", "dim"), _outbox_text(health.outbox)))
    for name, text in _check_texts(sync):
        cli.output.line(styled((f"{name:<8}", "dim"), text))
    if health.outbox and health.outbox.pending:
        cli.output.note("Try: diptych relay")
    if health.outbox and health.outbox.dead:
        cli.output.note("Try: diptych dead-letters list")


def _store_line(name: str, store: StoreHealth, count: Count) -> Text:
    said = [f"{store.kind} {store.version or ''}".strip()]
    if count.value is not None:
        said.append(f"{'' if count.exact else 'about '}{count.value:,} {'memory' if count.value == 1 else 'memories'}")
    if store.latency_ms is not None:
        said.append(f"answers in {store.latency_ms:.1f} ms")
    if store.error:
        said.append(one_line(store.error))
    return styled((f"{name:<8}", "dim"), (store.status.value, _STYLE[store.status]), f"  {', '.join(said)}")


def _outbox_text(outbox: OutboxStats | None) -> str:
    if outbox is None:
        return "could not be read"
    if not outbox.pending and not outbox.dead:
        return "empty: nothing is in doubt"
    age = "" if outbox.oldest_age_s is None else f", the oldest for {outbox.oldest_age_s:.0f} s"
    return f"{outbox.pending:,} pending{age}; {outbox.dead:,} dead"


def _check_texts(sync: SyncStats | None) -> list[tuple[str, str]]:
    """Say what the newest check of each depth found, a line each."""
    if sync is None:
        return [("check", "could not be read")]
    texts = [f"{depth.value} at {short_time(last.finished_at)}: {_found(last)}" for depth, last in _last(sync)]
    return [("check" if at == 0 else "", text) for at, text in enumerate(texts or ["none was made yet"])]


def _last(sync: SyncStats) -> list[tuple[Depth, DriftPoint]]:
    return sorted(sync.last_checks.items(), key=lambda last: last[0].rank)


def _found(last: DriftPoint) -> str:
    of = "" if last.user_id is None else f", of {one_line(last.user_id)} only"
    found = f"{last.found:,} {'inconsistency' if last.found == 1 else 'inconsistencies'}"
    incomplete = "" if last.complete else ", and not everything could be read"
    return f"{found if last.found else 'no inconsistency'}{incomplete}{of}"


@command(app)
async def relay(cli: Cli) -> int | None:
    """Bring the graph up to truth: work the outbox off until it is empty or only dead entries are left.

    Exits with 1 where dead entries are left, with 2 where others are.
    """
    async with cli.service() as memories:
        done = await memories.drain()
    counts = {"applied": done.applied, "failed": done.failed, "dead": done.dead, "pending": done.pending}
    if cli.json:
        cli.output.data(counts)
    else:
        cli.output.line(", ".join(f"{number:,} {name}" for name, number in counts.items()))
    if done.pending:
        cli.output.note("Some memories are still pending; the graph may be down.")
        cli.output.note("Try: diptych status")
        return TROUBLE
    if done.dead:
        cli.output.note("Try: diptych dead-letters list")
        return ATTENTION
    return None
