"""What is exposed: every metric that is declared and no other, few values of labels, and nothing that was not read."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from api.access import ADMIN, READ, Principal, Scope
from api.telemetry.metrics import METRICS, Type
from api.telemetry.prometheus import Metrics
from api.telemetry.reference import renewed
from persistence import AsyncPersistenceService, InvalidInputError, PersistenceConfig, VectorStoreUnavailableError
from persistence.errors import PersistenceError
from persistence.ports.observer import AdapterCall, Call, Part, RelayBatch, Retried, SyncRun, Target
from persistence.vector.memory import MemoryStore
from persistence.watching import Watching
from sync import AsyncSyncService
from tests.faults.proxies import Hooked, failing
from tests.faults.stores import ALICE, draft
from tests.telemetry.conftest import Telemetry, samples

CONFIG = PersistenceConfig(embedding_dimension=8, enable_relay=False, retry_delay=0.001)
PAGE = "docs/reference/metrics.md"


def service(seen: Telemetry, **given: Any) -> AsyncPersistenceService:
    """Return a service in memory that tells the test's telemetry."""
    stores: dict[str, Any] = {"vector": "memory://", "graph": "memory://", "config": CONFIG, **given}
    return AsyncPersistenceService.connect(observer=seen.observer, **stores)


def test_the_reference_is_that_of_the_code(pytestconfig: pytest.Config) -> None:
    """docs/reference/metrics.md says what the code declares; its module's docstring says how to renew it."""
    page = (pytestconfig.rootpath / PAGE).read_text(encoding="utf-8")
    assert renewed(page) == page


def test_what_is_exposed_is_what_is_declared() -> None:
    """The registry holds each declared metric under its type, and nothing else of ours."""
    families = {family.name: family for family in Metrics().registry.collect() if family.name.startswith("diptych_")}
    assert {name: family.type for name, family in families.items()} == {m.name: m.type.value for m in METRICS}
    assert {name: family.documentation for name, family in families.items()} == {m.name: m.help for m in METRICS}


def test_names_and_units() -> None:
    """Each name has our prefix and a base unit where it has one; no label can hold an id, a tenant or a path."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    allowed = {
        "operation", "outcome", "error", "store", "model", "state", "kind", "depth", "inconsistency",
        "method", "route", "status",
    }  # fmt: skip
    for metric in METRICS:
        assert metric.name.startswith("diptych_")
        assert not metric.name.endswith(("_total", "_ms", "_milliseconds", "_minutes"))
        assert set(metric.labels) <= allowed
        if metric.type is Type.HISTOGRAM or "timestamp" in metric.name:
            assert metric.name.endswith("_seconds")


async def test_a_write_is_counted(seen: Telemetry) -> None:
    """A store is one write in step, one call of some time, one attempt at truth; its last success is now."""
    async with service(seen) as memories:
        await memories.store(**draft(1))
        await memories.store_many([draft(number) for number in range(2, 7)])
        with pytest.raises(InvalidInputError):
            await memories.store("x", user_id="")
        found = await seen.look(memories)
    assert found["diptych_writes_total", "store", "in_step"] == 1
    assert found["diptych_writes_total", "store_many", "in_step"] == 5
    assert found["diptych_writes_total", "store", "refused"] == 1
    assert found["diptych_call_failures_total", "InvalidInputError", "store"] == 1
    assert found["diptych_call_duration_seconds_count", "store"] == 2
    assert found["diptych_store_call_duration_seconds_count", "write", "truth"] == 1
    assert found["diptych_call_last_success_timestamp_seconds", "store"] > 1.7e9
    assert found["diptych_writes_total", "store", "failed"] == 0, "a first failure has to be an increase"


async def test_labels_take_few_values(seen: Telemetry) -> None:
    """Whatever a caller sends, and whatever goes wrong, the number of series stays bounded."""
    async with service(seen) as memories, seen.client(memories) as client:
        before = 0
        for number in range(60):
            with Watching(seen.metrics, AdapterCall(Target(Part.TRUTH, "memory"), "write")):
                pass
            defect = type(f"Defect{number}", (Exception,), {})
            with pytest.raises(defect), Watching(seen.metrics, Call("get", f"u{number}", f"m{number}")):
                raise defect
            seen.metrics.noted(Retried(Part.GRAPH, f"Defect{number}"))
            with Watching(seen.metrics, SyncRun(f"run{number}", "check", "quick", f"u{number}")):
                pass
            await memories.store(f"text {number}", user_id=f"tenant{number}", id=f"id{number}")
            await client.get(f"/nothing/{number}?q={number}")
            await client.request(f"METHOD{number}", "/metrics")
            if number == 2:
                before = len(samples(await seen.page()))
        page = await seen.page()
    assert len(samples(page)) == before
    assert not any(f"{word}7" in page for word in ("Defect", "tenant", "id", "run", "METHOD", "nothing/"))


async def test_what_was_never_read_is_not_there(seen: Telemetry) -> None:
    """Before the first look there is no sample of the stores' state, and the time of the last look is NaN, not 0."""
    async with service(seen):
        found = samples(await seen.page())
    names = {name for name, *_ in found}
    assert math.isnan(found["diptych_state_last_success_timestamp_seconds",])
    assert math.isnan(found["diptych_relay_last_success_timestamp_seconds",])
    assert not any(name.startswith(("diptych_outbox", "diptych_inconsistencies", "diptych_check")) for name in names)


async def test_what_was_never_checked_is_not_0(seen: Telemetry) -> None:
    """Open drift has no sample until a check was finished, and from then on one for each kind."""
    async with service(seen) as memories:
        before = await seen.look(memories)
        assert ("diptych_inconsistencies_open", "missing_in_graph") not in before
        assert before["diptych_outbox_entries", "pending"] == 0
        await AsyncSyncService(memories).check_consistency("structure")
        after = await seen.look(memories)
    assert after["diptych_inconsistencies_open", "missing_in_graph"] == 0
    assert after["diptych_check_last_complete", "structure"] == 1
    assert ("diptych_check_last_timestamp_seconds", "full") not in after
    assert after["diptych_runs_total", "structure", "check", "done"] == 1


async def test_a_check_of_one_tenant_is_no_check_of_all(seen: Telemetry) -> None:
    """A tenant's check neither counts as the last one nor hides the last one of all tenants."""
    async with service(seen) as memories:
        sync = AsyncSyncService(memories)
        await sync.check_consistency(user_id=ALICE)
        assert ("diptych_check_last_timestamp_seconds", "quick") not in await seen.look(memories)
        await sync.check_consistency()
        before = (await seen.look(memories))["diptych_check_last_timestamp_seconds", "quick"]
        await sync.check_consistency(user_id=ALICE)
        assert (await seen.look(memories))["diptych_check_last_timestamp_seconds", "quick"] == before


async def test_a_truth_that_is_away(seen: Telemetry) -> None:
    """Truth that fails is down, and everything that only it could say has no sample, though it had one before."""
    truth = Hooked(MemoryStore())
    async with service(seen, vector=truth) as memories:
        await AsyncSyncService(memories).check_consistency()
        assert (await seen.look(memories))["diptych_store_up", "truth"] == 1
        for method in ("ping", "outbox_stats", "last_checks", "count_open", "runs", "run_totals"):
            truth.before[method] = failing(VectorStoreUnavailableError())
        found = await seen.look(memories)
    assert found["diptych_store_up", "truth"] == 0
    assert found["diptych_store_up", "graph"] == 1
    left = {
        name for name, *_ in found if name.startswith(("diptych_outbox", "diptych_inconsistencies", "diptych_check"))
    }
    assert left == set()
    assert found["diptych_store_call_failures_total", "VectorStoreUnavailableError", "ping", "truth"] == 1


async def test_a_look_has_a_deadline(seen: Telemetry) -> None:
    """A truth that does not answer keeps a scrape no longer than its time; what was not read is left out."""
    truth, never = Hooked(MemoryStore()), asyncio.Event()

    async def hold(_: int) -> None:
        await never.wait()

    seen.metrics.state._read_time = 0.05
    async with service(seen, vector=truth) as memories:
        truth.before["outbox_stats"] = truth.before["last_checks"] = truth.before["ping"] = hold
        async with asyncio.timeout(5):
            found = await seen.look(memories)
    assert found["diptych_store_up", "truth"] == 0
    assert not any(name.startswith("diptych_outbox") for name, *_ in found)


async def test_a_look_stands_for_a_while(seen: Telemetry) -> None:
    """Many scrapes at once, and the next ones, ask the stores once."""
    truth = Hooked(MemoryStore())
    async with service(seen, vector=truth) as memories:
        seen.metrics.state._stands_for = 60.0
        await asyncio.gather(*(seen.metrics.state.refresh(memories) for _ in range(20)))
        await seen.metrics.state.refresh(memories)
        assert truth.calls["ping"] == 1


async def test_no_graph_has_no_sample(seen: Telemetry) -> None:
    """A graph that is not there is neither up nor down."""
    async with service(seen, graph="none://") as memories:
        found = await seen.look(memories)
    assert ("diptych_store_up", "graph") not in found
    assert found["diptych_store_up", "truth"] == 1


async def test_the_route(seen: Telemetry) -> None:
    """GET /metrics gives both exposition formats by Accept, and counts itself by its template."""
    async with service(seen) as memories, seen.client(memories) as client:
        plain = await client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert samples(plain.text)["diptych_store_up", "truth"] == 1
        open_metrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert open_metrics.text.endswith("# EOF\n")
        again = samples((await client.get("/metrics")).text)
        declared = (await client.get("/openapi.json")).json()["paths"]["/metrics"]["get"]["responses"]
    assert again["diptych_http_requests_total", "GET", "/metrics", "2xx"] == 2
    assert again["diptych_http_requests_running",] == 1, "the one that asks"
    assert {"200", "401", "403", "429", "500"} <= set(declared)


@pytest.mark.parametrize(
    ("scopes", "tenant", "allowed"),
    [({READ}, None, True), ({ADMIN}, None, True), (set(), None, False), ({ADMIN}, ALICE, False)],
)
async def test_who_may_read_metrics(seen: Telemetry, scopes: set[Scope], tenant: str | None, allowed: Any) -> None:
    """Metrics need the scope read; a principal of one tenant is refused, because they are of all."""

    async def authenticate(_: Any) -> Principal:
        return Principal("test", frozenset(scopes), tenant)

    async with service(seen) as memories, seen.client(memories, authenticate) as client:
        assert (await client.get("/metrics")).status_code == (200 if allowed else 403)


async def test_requests_by_template(seen: Telemetry) -> None:
    """A request is counted under its route's whole template; errors, aborted ones and unknown paths have their own."""
    from fastapi import APIRouter  # noqa: PLC0415  # for this test alone

    router, reached = APIRouter(prefix="/of/{tenant}"), asyncio.Event()

    @router.get("/one/{memory_id}")
    async def one(tenant: str, memory_id: str) -> dict[str, str]:
        return {tenant: memory_id}

    @router.get("/defect")
    async def defect(tenant: str) -> None:
        raise RuntimeError("a defect")

    @router.get("/slow")
    async def slow() -> None:
        reached.set()
        await asyncio.Event().wait()

    async with service(seen) as memories, seen.client(memories) as client:
        client.app.include_router(router, prefix="/v1")  # type: ignore[attr-defined]
        await client.get("/v1/of/alice/one/m1")
        await client.get("/v1/of/alice/defect")
        await client.post("/v1/of/alice/one/m1")
        waiting = asyncio.create_task(client.get("/v1/of/alice/slow"))
        await reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        found = samples(await seen.page())
    counted = {key[1:]: value for key, value in found.items() if key[0] == "diptych_http_requests_total"}
    assert counted == {
        ("GET", "/v1/of/{tenant}/one/{memory_id}", "2xx"): 1,
        ("GET", "/v1/of/{tenant}/defect", "5xx"): 1,
        ("POST", "/v1/of/{tenant}/one/{memory_id}", "4xx"): 1,
        ("GET", "/v1/of/{tenant}/slow", "aborted"): 1,
    }
    assert "alice" not in seen.stream.getvalue()


def test_every_error_of_ours_is_a_value(seen: Telemetry) -> None:
    """Each class of error that diptych raises can be told apart; a defect is `other`."""

    def all_of(kind: type[PersistenceError]) -> set[str]:
        return {kind.__name__}.union(*(all_of(one) for one in kind.__subclasses__()))

    for name in all_of(PersistenceError):
        assert seen.metrics.instruments.error(name) == name
    assert seen.metrics.instruments.error("ZeroDivisionError") == "other"


def test_relay_batches_are_counted(seen: Telemetry) -> None:
    """A batch adds what it did; the time of the last success is set by an entry in step alone."""
    batch = RelayBatch(5)
    with Watching(seen.metrics, batch):
        batch.failed, batch.dead = 2, 1
    assert math.isnan(_now(seen)["diptych_relay_last_success_timestamp_seconds",])
    batch = RelayBatch(3)
    with Watching(seen.metrics, batch):
        batch.applied = 3
    found = _now(seen)
    assert [found["diptych_relay_entries_total", outcome] for outcome in ("applied", "failed", "dead")] == [3, 2, 1]
    assert found["diptych_relay_last_success_timestamp_seconds",] > 1.7e9


def _now(seen: Telemetry) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in seen.metrics.registry.collect()
        for sample in family.samples
    }
