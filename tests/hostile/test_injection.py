"""No string that gets into a query is read as a part of it: it comes back as it went in, or it is refused."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.errors import InvalidInputError, PersistenceError
from persistence.filters import make_filter, matches
from sync import AsyncSyncService
from tests.conftest import neo4j_driver
from tests.faults.stores import Stores, draft, vector

_RANDOM = random.Random(7)
ATTACKS = [
    "'; DROP TABLE memories; DROP TABLE hostile_bystander; --",
    '"; DROP SCHEMA public CASCADE; --',
    "' OR '1'='1' --",
    "x') ON CONFLICT DO UPDATE SET user_id = 'bob'; --",
    "%s %(user_id)s %% {} {0} {user_id!r}",
    "$1 $user_id $$ $tag$; :filter_0 :user_id ? ?1 @x",
    "\\'; SELECT pg_sleep(60); --",
    "\u02bc; DROP TABLE memories; -- \uff07",
    "`}) MATCH (x) DETACH DELETE x //",
    "a`:HostileBystander` SET n.hit = true //",
    "'}) DETACH DELETE n RETURN '",
    "\\u0060:HostileBystander \\u0027 \\u005c",
    "*/ MATCH (n) DETACH DELETE n /*",
    "$(row.type)",
    "\\",
    '"',
    'a\\"].b',
    "a[0]", "a[]", "[*]", "$.a", '$."a"', "#>>'{}'", "*",
    "\\.\n", "\t\\N\n", "a\tb\\tc\r\n", "\x01\x1b[2J\x7f", "a\x1f\x1e\u2028\u0085b",
    "%", "_", "%25%2e%2e%2f", "../../etc/passwd", "a/b\\c:d|e*f?g",
    "null", "true", "1e5", "-1", '{"a": 1}', "[1]", "user_id", "metadata", "NaN", "LOAD EXTENSION",
    "<script>alert(1)</script>", "{{7*7}} ${7*7} #{7*7}",
    "\u202eevil\u2066", "e\u0301\u0130\u0131\ufdfa", " lead and trail ", "\U0001f9d1\u200d\U0001f680",
    "".join(chr(_RANDOM.randrange(0x10000, 0x10FFFF)) for _ in range(210)),
    "x" * 255,
]  # fmt: skip
#: What no index takes, as it is or once it is normalised: nothing compresses it, and that grows thirtyfold.
TOO_LONG = ["".join(chr(_RANDOM.randrange(0x10000, 0x10FFFF)) for _ in range(255)), "\ufdfa" * 200]


@pytest.fixture
async def bystander(postgres_url: str, clean_neo4j: str) -> AsyncIterator[None]:
    """Plant what is not ours in both databases, and see after the test that all of it is as it was."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.hostile_bystander (name text)")
        connection.execute("TRUNCATE public.hostile_bystander")
        connection.execute("INSERT INTO public.hostile_bystander VALUES ('bystander')")
    with neo4j_driver(clean_neo4j) as driver:
        driver.execute_query("MATCH (n:HostileBystander) DETACH DELETE n")
        driver.execute_query("CREATE (:HostileBystander {name: 'bystander'})-[:KEEPS]->(:HostileBystander:Other)")
    yield
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        rows = connection.execute("SELECT name FROM public.hostile_bystander").fetchall()
        connection.execute("DROP TABLE public.hostile_bystander")
    with neo4j_driver(clean_neo4j) as driver:
        found = driver.execute_query(
            "MATCH (n:HostileBystander)-[e]->(m) RETURN properties(n) AS n, labels(n) AS l, type(e) AS t, labels(m) AS m"  # noqa: E501
        )
        counted = driver.execute_query("MATCH (n:HostileBystander) RETURN count(n) AS n").records[0]["n"]
        driver.execute_query("MATCH (n:HostileBystander) DETACH DELETE n")
    assert rows == [("bystander",)]
    assert [record.data() for record in found.records] == [
        {"n": {"name": "bystander"}, "l": ["HostileBystander"], "t": "KEEPS", "m": ["HostileBystander", "Other"]}
    ]
    assert counted == 2


def hostile(attack: str, **more: Any) -> dict[str, Any]:
    """Return a memory that has the text in every place that takes a text."""
    thing, other = {"name": attack, "type": attack}, {"name": f"{attack[:254]}.", "type": attack}
    return {
        "user_id": attack,
        "id": attack,
        "agent_id": attack,
        "run_id": attack,
        "content": attack,
        "metadata": {attack: {attack: [attack, {attack: None}]}, "flat": attack},
        "entities": [{**thing, "properties": {f"{attack[:253]}_p": attack, f"{attack[:253]}_s": [attack]}}, other],
        "relationships": [
            {"source": attack, "type": attack, "target": other["name"], "properties": {f"{attack[:253]}_p": attack}},
        ],
        "embedding": vector(len(attack)),
        **more,
    }


def said(memory: Any) -> dict[str, Any]:
    fields = memory.model_dump(exclude={"version", "digest", "created_at", "updated_at", "extracted"})
    return {name: value for name, value in fields.items() if value is not None}


async def same(memories: AsyncPersistenceService, attack: str) -> None:
    """See that the memory is what was stored, by every way that leads to it."""
    found = await memories.get(attack, user_id=attack)
    wanted = hostile(attack)
    assert found is not None
    assert (found.id, found.user_id, found.agent_id, found.run_id) == (attack,) * 4
    assert (found.content, found.metadata) == (attack, wanted["metadata"])
    assert [entity.model_dump() for entity in found.entities] == [
        {"properties": {}, **entity} for entity in wanted["entities"]
    ]
    assert [one.model_dump(exclude_none=True) for one in found.relationships] == wanted["relationships"]


async def looked_for(memories: AsyncPersistenceService, attack: str) -> None:
    """Ask for it by every read that takes a text; every answer is this tenant's own."""
    filters: list[dict[str, Any]] = [{attack: attack}, {"flat": attack}, {"flat": {"in": [attack]}}]
    filters += [{f"{attack[:100]}.{attack[:100]}": {"contains": attack}}, {attack: {"exists": True}}]
    filters += [{"flat": {op: attack}} for op in ("ne", "gt", "gte", "lt", "lte")]
    for one in filters:
        await filtered(memories, attack, one)
    assert (await memories.get_all(user_id=attack, after=attack)).memories == ()
    assert (await memories.count(user_id=attack)).value == 1
    assert [one.id for one in (await memories.get_all(user_id=attack, agent_id=attack, run_id=attack)).memories] == [
        attack
    ]
    await memories.search(attack, user_id=attack, limit=3)
    await memories.related(attack, user_id=attack, depth=2)
    around = await memories.neighbourhood(attack, user_id=attack)
    assert attack in {entity.name for entity in around.entities}
    await memories.dead_letters(user_id=attack)


async def filtered(memories: AsyncPersistenceService, attack: str, filters: dict[str, Any]) -> None:
    """Read with a filter: the store lets pass what the language says, or the filter is none."""
    metadata = hostile(attack)["metadata"]
    try:
        wanted = matches(make_filter(filters=filters), attack, attack, metadata)
    except InvalidInputError:
        with pytest.raises(InvalidInputError):
            await memories.get_all(user_id=attack, filters=filters)
        return
    page = await memories.get_all(user_id=attack, filters=filters)
    assert [one.id for one in page.memories] == [attack] * wanted, filters
    found = await memories.search(vector(len(attack)), user_id=attack, filters=filters)
    assert [hit.memory.id for hit in found.hits] == [attack] * wanted, filters


PAIRS = ["pgvector+neo4j", "pgvector+postgres", "sqlite+neo4j", "qdrant+neo4j", "file"]


@pytest.mark.faults
@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("stores", PAIRS, indirect=True)
async def test_every_string_is_data(stores: Stores) -> None:
    """Texts that would be SQL, Cypher, formats or paths are kept, found, walked, changed and deleted as texts."""
    await tried(stores, ATTACKS)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("stores", PAIRS[:2], indirect=True)
async def test_a_few_strings(stores: Stores) -> None:
    """The same for the most likely ones."""
    await tried(stores, [*ATTACKS[:10:3], *ATTACKS[-2:]])


async def tried(stores: Stores, attacks: list[str]) -> None:
    """Do everything with each text that can be done with one."""
    async with connected(stores) as memories:
        untouched = await memories.store(**draft(1))
        for attack in attacks:
            stored = await memories.store(**hostile(attack))
            assert stored.outcome.value == "in_step", attack
            await same(memories, attack)
            await looked_for(memories, attack)
        results = await memories.store_many([hostile(attack, user_id="many") for attack in attacks])
        assert {result.id for result in results} == set(attacks)
        assert (await memories.count(user_id="many")).value == len(attacks)
        for attack in TOO_LONG:
            with pytest.raises(InvalidInputError, match="bytes of UTF-8"):
                await memories.store(**hostile(attack))
        await looked_at(memories, attacks)
        await gone(memories, attacks)
        left = await memories.get("m0001", user_id="alice")
        assert left is not None
        assert left.version == untouched.version


def connected(stores: Stores) -> Any:
    return stores.service(write_timeout=60.0, batch_timeout=120.0)


async def looked_at(memories: AsyncPersistenceService, attacks: list[str]) -> None:
    """See that a check of everything, and one of each tenant, finds both stores in step."""
    sync = AsyncSyncService(memories)
    everything = await sync.check_consistency("full")
    assert (everything.in_step, everything.complete) == (True, True)
    for attack in attacks[::6]:
        report = await sync.check_consistency("structure", user_id=attack)
        assert (report.in_step, report.checked.vector) == (True, 1), attack


async def gone(memories: AsyncPersistenceService, attacks: list[str]) -> None:
    """Change and delete each by its own name; nobody else's goes with it."""
    for attack in attacks:
        changed = await memories.update(attack, user_id=attack, metadata={attack: attack}, agent_id=attack)
        assert changed.changed
        assert (await memories.delete(attack, user_id=attack)).changed
        assert await memories.get(attack, user_id=attack) is None
    assert (await memories.count(user_id="many")).value == len(attacks)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("stores", PAIRS[:2], indirect=True)
async def test_keys_of_repetition(stores: Stores) -> None:
    """An idempotency key is any text, and stands for one memory of one tenant."""
    async with connected(stores) as memories:
        for attack in ATTACKS:
            first, again = [
                await memories.store(attack, user_id="ada", idempotency_key=attack, embedding=vector(1), entities=[])
                for _ in range(2)
            ]
            assert (first.id, again.changed) == (again.id, False)
        assert (await memories.count(user_id="ada")).value == len(ATTACKS)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    "attack", ['x"; DROP TABLE public.hostile_bystander; --', "x'y", "x.y", "%s", "", "x" * 64, "\0"]
)
async def test_names_of_schemas(postgres_url: str, attack: str) -> None:
    """A schema's name is an identifier, or it is refused; it is no part of a statement."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        try:
            config = {
                "vector_url": postgres_url,
                "graph_url": "none://",
                "schema_name": attack,
                "embedding_dimension": 8,
            }
            async with AsyncPersistenceService.connect(config=PersistenceConfig.load(**config)) as memories:
                await memories.store(**draft(1))
        except PersistenceError:
            pass  # refused, and what is planted is looked at afterwards
        else:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(attack)))
