"""A rolling upgrade: processes of the old code and of the new on the same tables, and the way back."""

from __future__ import annotations

import asyncio

import pytest

from persistence import AsyncPersistenceService, Outcome, PersistenceConfig
from persistence.errors import ConfigurationError, GraphStoreError, SchemaMissingError, SchemaTooNewError
from persistence.graph.postgres import GraphSchema, PostgresGraph
from persistence.ports.schema import Phase
from persistence.vector.pgvector.queries import migrations
from sync import AsyncSyncService
from tests.upgrades.conftest import House
from tests.upgrades.steps import following, today

PRE, POST = (Phase.PRE,), (Phase.POST,)
BOTH = (*PRE, *POST)


async def whole_life(memories: AsyncPersistenceService, user: str) -> None:
    """Do with a service what old code does: write, change, find, delete, check."""
    kept = await memories.store("Ada works at Babbage", user_id=user, metadata={"year": 1843})
    assert kept.outcome is Outcome.IN_STEP
    gone = await memories.store("nobody", user_id=user)
    await memories.store_many([{"content": f"many {number}", "user_id": user} for number in range(3)])
    await memories.update(kept.id, user_id=user, content="Ada writes")
    await memories.delete(gone.id, user_id=user)
    assert (await memories.get(kept.id, user_id=user)).content == "Ada writes"
    assert await memories.search("Ada", user_id=user, filters={"year": {"gte": 1800}})
    assert {memory.content for memory in (await memories.get_all(user_id=user)).memories} == {
        "Ada writes", "many 0", "many 1", "many 2",
    }  # fmt: skip
    await memories.drain()  # a settlement may still be on its way
    report = await AsyncSyncService(memories).check_consistency(user_id=user, depth="full")
    assert (report.complete, report.in_step) == (True, True)


async def test_old_and_new_side_by_side(house: House) -> None:
    """Old code that runs goes on while the `pre` steps of new code come, and starts on them."""
    new = house.schema(following(house.kind))
    async with AsyncPersistenceService.connect(config=house.config) as running:
        await whole_life(running, "before")
        assert not (await new.state()).usable
        await new.apply(PRE)
        await whole_life(running, "meanwhile")
        async with AsyncPersistenceService.connect(config=house.config) as started:
            await whole_life(started, "started on what is ahead of it")
    seen = await new.state()
    assert seen.usable
    assert [step.phase for step in seen.pending] == [Phase.POST]
    old = await house.schema(None).state()
    assert (old.usable, old.too_new, {step.phase for step in old.newer}) == (True, False, {Phase.PRE})


async def test_old_code_is_refused_once_something_is_gone(house: House) -> None:
    """After the `post` steps old code is refused by a sentence, and cannot take back what it does not know."""
    async with AsyncPersistenceService.connect(config=house.config) as memories:
        await memories.store("kept", user_id="ada")
    new, old = house.schema(following(house.kind)), house.schema(None)
    assert [step.phase for step in await new.apply(BOTH)][-1] is Phase.POST
    with pytest.raises(SchemaTooNewError, match="taken away") as caught:
        async with AsyncPersistenceService.connect(config=house.config):
            pass
    assert caught.value.hint == "upgrade diptych on this machine"
    assert (await old.state()).too_new
    with pytest.raises(ConfigurationError, match="does not know"):
        await old.revert(1)
    assert (await new.state()).version == following(house.kind)[-1].version


async def test_the_way_back(house: House) -> None:
    """The steps are taken back by the code that applied them, and the old code finds everything as it was."""
    async with AsyncPersistenceService.connect(config=house.config) as memories:
        kept = await memories.store("kept", user_id="ada")
    new = house.schema(following(house.kind))
    forward = await new.apply(BOTH)
    assert await new.revert(today(house.kind)) == forward[::-1]
    async with AsyncPersistenceService.connect(config=house.config) as memories:
        assert (await memories.get(kept.id, user_id="ada")).content == "kept"
        await whole_life(memories, "afterwards")
    assert await new.apply(BOTH) == forward


async def test_todays_code_on_former_tables(pgvector: House) -> None:
    """Tables of a former version are brought up to date by the first connect, where that may be; else it is refused."""
    async with AsyncPersistenceService.connect(config=pgvector.config) as memories:
        kept = await memories.store("kept", user_id="ada")
    schema = pgvector.schema(None)
    assert [step.version for step in await schema.revert(4)] == [6, 5]
    with pytest.raises(SchemaMissingError, match="is at version 4"):
        async with AsyncPersistenceService.connect(config=pgvector.config.model_copy(update={"auto_upgrade": False})):
            pass
    async with AsyncPersistenceService.connect(config=pgvector.config) as memories:
        assert (await memories.get(kept.id, user_id="ada")).content == "kept"
        await whole_life(memories, "afterwards")
    assert not (await schema.state()).pending


async def test_a_step_without_a_way_back(pgvector: House) -> None:
    """Where one of the steps cannot be taken back, none is."""
    schema = pgvector.schema(None)
    await schema.apply(BOTH)
    with pytest.raises(ConfigurationError, match=r"no way back from the step 4 \(runs, pre\)"):
        await schema.revert(2)
    assert (await schema.state()).version == migrations()[-1].version
    with pytest.raises(ConfigurationError, match="cannot go back to 99"):
        await schema.revert(99)


async def test_phases_come_in_their_order(house: House) -> None:
    """Steps are applied in their order only: `post` before `pre` does nothing, and a connect applies no `post` step."""
    await house.schema(None).apply(BOTH)
    new = house.schema(following(house.kind))
    assert await new.apply(POST) == []
    await new.apply(PRE)
    assert [step.phase for step in await new.apply(POST)] == [Phase.POST]
    assert await new.apply(BOTH) == []


async def test_many_at_once(house: House) -> None:
    """However many apply at once, each step is applied by one of them."""
    schemas = [house.schema(following(house.kind)) for _ in range(6)]
    done = await asyncio.gather(*(schema.apply(BOTH) for schema in schemas))
    assert sorted(step.version for steps in done for step in steps) == [one.version for one in following(house.kind)]


async def test_a_graph_side_by_side(postgres_url: str, pg_schema: str, graph_schema: str) -> None:
    """The same holds for the tables of a graph on PostgreSQL."""
    config = PersistenceConfig(
        vector_url="memory://", graph_url=postgres_url, schema_name=pg_schema, embedding_dimension=8
    )
    new = GraphSchema(postgres_url, schema=graph_schema, steps=following("postgres_graph"))
    async with AsyncPersistenceService.connect(config=config) as running:
        await whole_life(running, "before")
        await new.apply(PRE)
        await whole_life(running, "meanwhile")
    graph = PostgresGraph(postgres_url, schema=graph_schema)
    await graph.open()
    await graph.close()
    forward = await new.apply(POST)
    with pytest.raises(GraphStoreError, match="taken away"):
        await graph.open()
    assert await new.revert(today("postgres_graph") - 1)
    assert (await GraphSchema(postgres_url, schema=graph_schema).state()).lacking
    await graph.open()
    await graph.close()
    assert forward[-1].phase is Phase.POST
