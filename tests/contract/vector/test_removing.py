"""What an erasure asks of a truth: the records of a tenant, or of a memory, go, and nobody else's."""

from __future__ import annotations

from uuid import uuid4

from persistence.ports.runs import Inconsistency, InconsistencyQuery, Kind, RunKind, RunQuery, RunState
from persistence.ports.vector import VectorStore

MANY = 12


async def recorded(store: VectorStore) -> None:
    """Record inconsistencies of two tenants, some of them resolved."""
    run = await store.begin_run(RunKind.CHECK, None, {"depth": "quick"}, holder=uuid4(), lease=60)
    found = [Inconsistency(user, f"m{i}", Kind.MISSING) for user in ("ada", "bob") for i in range(MANY)]
    await store.record(run.id, run.token, found)
    await store.resolve_mended(run.id, run.token, found[::3])
    await store.finish_run(run.id, run.token, RunState.DONE, {})


async def users(store: VectorStore) -> list[str]:
    return [one.inconsistency.user_id for one in await store.inconsistencies(InconsistencyQuery(open=None), limit=100)]


async def test_what_was_found_of_a_tenant_goes(store: VectorStore) -> None:
    """In pages, open and resolved alike, until none is left; another tenant's stay."""
    await recorded(store)
    assert await store.remove_found("ada", None, limit=5) == 5
    removed = 5
    while some := await store.remove_found("ada", None, limit=5):
        removed += some
    assert removed == MANY
    assert await users(store) == ["bob"] * MANY
    assert sum((await store.count_open(None)).values()) == sum((await store.count_open("bob")).values()) > 0


async def test_what_was_found_of_a_memory_goes(store: VectorStore) -> None:
    """One memory's alone; the same id of another tenant is another memory."""
    await recorded(store)
    assert await store.remove_found("ada", "m3") == 1
    assert await store.remove_found("ada", "m3") == 0
    assert len(await users(store)) == 2 * MANY - 1


async def test_runs_go_but_for_those_under_way(store: VectorStore) -> None:
    """Runs that ended, or whose process died, are removed; one that somebody runs stays."""
    ended = await store.begin_run(RunKind.CHECK, "ada", {}, holder=uuid4(), lease=60)
    await store.finish_run(ended.id, ended.token, RunState.DONE, {})
    dead = await store.begin_run(RunKind.REPAIR, "ada", {}, holder=uuid4(), lease=-1)
    alive = await store.begin_run(RunKind.REBUILD, "ada", {}, holder=uuid4(), lease=60)
    other = await store.begin_run(RunKind.REBUILD, "bob", {}, holder=uuid4(), lease=60)
    assert await store.remove_runs([ended.id, dead.id, alive.id, uuid4()]) == 2
    assert {run.id for run in await store.runs(RunQuery())} == {alive.id, other.id}
    assert await store.remove_runs([]) == 0
