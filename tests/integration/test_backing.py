"""Backup and restore between real stores: everything comes back as it was, and nothing newer gives way."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from uuid import uuid4

import pytest

from persistence.errors import BackupError, BackupPassphraseError, EmbeddingMismatchError
from persistence.ports.capabilities import Capability
from persistence.ports.outbox import Key
from persistence.ports.runs import Inconsistency, Kind, RunKind, RunState
from persistence.ports.vector import GraphIdentity, Tombstone, VectorStore
from persistence.records import Entity, Memory, Relationship
from persistence.vector.memory import MemoryStore, Storage
from persistence.vector.sqlite import SqliteStore
from sync.backing import backups, restore, verify
from sync.backing.chains import chain
from sync.backing.manifest import Section, read
from sync.backing.shelf import Shelf
from tests.backing import CONFIG, backed_up, files
from tests.contract.vector.conftest import (  # noqa: F401  # fixtures of the stores
    BACKENDS,
    Backend,
    file,
    memory,
    pgvector,
    qdrant_client,
    qdrant_collection,
    qdrant_embedded,
    sqlite,
    store,
)
from tests.contract.vector.making import AT_ONCE, DIMENSION, a_delete, a_write, settlement
from tests.contract.vector.test_transfer import a_memory
from tests.moving import USERS, Writer, dump, fill, opened


@pytest.fixture(params=[name for name in BACKENDS if name != "theirs"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.getfixturevalue(request.param)


RIGHT, OTHER = "open sesame", "open barley"
SOMEBODY = "somebody nobody knows"  # a name that no hash and no cipher holds by chance, as "ada" may be
TENANTS = (SOMEBODY, "Zoë 🜚", "bob of Bremen")


def elsewhere() -> MemoryStore:
    return MemoryStore(Storage())


async def brought(path: Path, **given: object) -> tuple[object, ...]:
    """Restore into an empty store; return all that is there."""
    async with opened(elsewhere) as target:
        report = await restore(target, path, config=CONFIG, **given)
        assert report.in_step
        return await dump(target)


async def test_a_round_trip_through_every_backend(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """Whatever was done to a store, a chain of backups brings back every memory, to the last bit, and every delete."""
    rng = random.Random(store.kind)
    for round_ in range(3):
        await _do_anything(store, rng)
        done = await backed_up(store, tmp_path / "b", incremental=True)
        assert done.chain == round_ + 1
        memories, stones, floor = await brought(tmp_path / "b")
        now = await dump(store)
        assert memories == now[0]
        assert {stone for stone in stones if stone.version > now[2]} <= set(now[1]) <= set(stones)
        assert floor >= now[2]
    assert len(await verify(tmp_path / "b" / done.name)) == 3


async def _do_anything(store: VectorStore, rng: random.Random) -> None:  # noqa: F811
    """Write, replace, delete, settle, collect, and bring from elsewhere at old versions."""
    for user in USERS:
        ids = rng.sample(range(60), 25)
        await store.write_many([a_write(f"m{i}", user, digest=rng.randrange(2**63)) for i in ids], AT_ONCE)
        await store.delete_many([a_delete(f"m{i}", user) for i in rng.sample(range(60), 8)], AT_ONCE)
        await store.transfer([a_memory(f"t{rng.randrange(40)}", user, version=rng.randrange(1, 2**40))], [], AT_ONCE)
    entries = await store.outbox_page(dead=None, after=None, limit=500)
    await store.settle([settlement(entry) for entry in entries[::2]])
    await store.collect_tombstones(await store.tombstones_due(age=-1, limit=10))


async def test_between_any_two_backends(backend: Backend, tmp_path: Path) -> None:
    """A backup of one backend restores into another, and what that one then holds makes the same backup again."""
    async with opened(elsewhere) as source, opened(backend) as target:
        await fill(source, 40)
        await backed_up(source, tmp_path / "a")
        report = await restore(target, tmp_path / "a", config=CONFIG)
        assert (report.in_step, report.same) == (True, report.live)
        assert (await dump(target))[:2] == (await dump(source))[:2]
        again = await restore(target, tmp_path / "a", config=CONFIG)
        assert (again.written, again.same) == (0, report.live)
        await backed_up(target, tmp_path / "b")
        assert (await brought(tmp_path / "b"))[:2] == (await dump(source))[:2]


async def test_nothing_newer_gives_way(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """Into a store that has something: older memories are replaced, newer ones and later deletes stay as they are."""
    await fill(store, 20)
    await backed_up(store, tmp_path)
    await store.write(a_write("m0001", "ada", content="since"), AT_ONCE)
    await store.delete_many([a_delete("m0002", "ada")], AT_ONCE)
    await store.write(a_write("other", "ada"), AT_ONCE)
    plan = await restore(store, tmp_path, config=CONFIG, dry_run=True)
    assert (plan.planned, plan.written, plan.dry_run) == (0, 0, True)
    report = await restore(store, tmp_path, config=CONFIG)
    assert (report.written, report.newer, report.in_step) == (0, 2, True)
    there = await store.read([Key("ada", name) for name in ("m0001", "m0002", "other")])
    assert there[Key("ada", "m0001")].memory.content == "since"
    assert there[Key("ada", "m0002")].memory is None
    assert there[Key("ada", "other")].memory is not None


async def test_what_is_restored_is_listed_for_the_graph(tmp_path: Path) -> None:
    """A truth with a graph lists every memory and tombstone that a restore writes; without one it lists none."""
    async with opened(elsewhere) as source, opened(elsewhere) as target, opened(elsewhere) as alone:
        await fill(source, 20)
        await backed_up(source, tmp_path)
        await target.register_graph(GraphIdentity(uuid4(), "db"), former=None)
        report = await restore(target, tmp_path, config=CONFIG)
        assert (await target.outbox_stats()).pending == report.written > 0
        await restore(alone, tmp_path, config=CONFIG)
        assert (await alone.outbox_stats()).pending == 0


async def test_no_version_is_given_out_again(tmp_path: Path) -> None:
    """After a restore a store gives out versions above all that the backup has, though its clock stands in the past."""
    async with opened(elsewhere) as source:
        await source.transfer([a_memory("m", version=2**52)], [], AT_ONCE)
        await backed_up(source, tmp_path)
    storage = Storage(clock=lambda: 1_000)
    async with opened(lambda: MemoryStore(storage)) as target:
        await restore(target, tmp_path, config=CONFIG)
        assert ((await target.write(a_write("new"), AT_ONCE)).version or 0) > 2**52


async def test_runs_inconsistencies_and_outbox_are_in_it(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """What lies beside the memories is in a backup as the store has it."""
    await store.write_many([a_write(f"m{i}") for i in range(5)], AT_ONCE)
    run = await store.begin_run(RunKind.CHECK, "ada", {"depth": "quick"}, holder=uuid4(), lease=60)
    await store.record(run.id, run.token, [Inconsistency("ada", "m1", Kind.MISSING, entity=("T", "k"), reason="why")])
    run = await store.finish_run(run.id, run.token, RunState.DONE, {"complete": True})
    done = await backed_up(store, tmp_path)
    (link,) = chain(tmp_path / done.name, None)
    rows = {section: [row for page in link.pages(section) for row in page] for section in Section}
    assert rows[Section.RUNS] == [run]
    assert [row.inconsistency.reason for row in rows[Section.INCONSISTENCIES]] == ["why"]
    assert rows[Section.OUTBOX] == await store.outbox_page(dead=None, after=None, limit=100)
    assert len(rows[Section.HEADS]) == 5
    still = Capability.SNAPSHOT_READS in store.capabilities
    assert link.manifest.consistency.value == ("snapshot" if still else "per_memory")
    assert link.manifest.complete_to < link.manifest.oldest


async def test_writers_go_on(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """While others write: all that was acknowledged before is there, or newer; nothing is half; chains stay whole."""
    await fill(store, 150)
    for number in range(3):
        before = {Key(m.user_id, m.id): m.version for m in (await dump(store))[0]}
        async with Writer(store, seed=number):
            await backed_up(store, tmp_path, incremental=True)
        memories, stones, _ = await brought(tmp_path)
        there = {Key(one.user_id, one.id): one.version for one in [*memories, *stones]}
        assert all(there.get(key, 0) >= version for key, version in before.items())
        assert {m.id: m.content for m in memories} == {m.id: f"content of {m.id}" for m in memories}


async def test_a_snapshot_has_one_moment(pgvector: Backend, sqlite: Backend, tmp_path: Path) -> None:  # noqa: F811
    """Two memories that are always written together have the same content in every backup made meanwhile."""
    for make in (pgvector, sqlite):
        async with opened(make) as store:  # noqa: F811
            await fill(store, 60)
            task = asyncio.create_task(_in_pairs(store))
            try:
                for number in range(4):
                    path = tmp_path / store.kind / str(number)
                    await backed_up(store, path)
                    memories, _, _ = await brought(path)
                    pair = {m.content for m in memories if m.user_id == "pair"}
                    assert len(pair) <= 1
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _in_pairs(store: VectorStore) -> None:  # noqa: F811
    for number in range(100_000):
        pair = [a_write(name, "pair", content=str(number)) for name in ("left", "right")]
        await store.write_many(pair, AT_ONCE)


# --- incrementals -----------------------------------------------------------------------------------------------------


async def test_an_incremental_holds_only_what_changed(tmp_path: Path) -> None:
    """Nothing written since: no memory in it; one written, replaced, deleted each: just these."""
    async with opened(elsewhere) as store:  # noqa: F811
        await fill(store, 40)
        await backed_up(store, tmp_path)
        assert (await backed_up(store, tmp_path, incremental=True)).counts["memories"] == 0
        await store.write(a_write("new"), AT_ONCE)
        await store.write(a_write("m0001", "bob", content="again"), AT_ONCE)
        await store.delete_many([a_delete("m0002", "bob")], AT_ONCE)
        assert (await backed_up(store, tmp_path, incremental=True)).counts["memories"] == 2
        assert (await brought(tmp_path))[:2] == (await dump(store))[:2]


async def test_a_delete_that_is_forgotten_is_not_missed(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """A memory whose tombstone was collected between two backups is gone after the restore of both."""
    await store.write_many([a_write(f"m{i}") for i in range(4)], AT_ONCE)
    await backed_up(store, tmp_path)
    await store.delete_many([a_delete("m1")], AT_ONCE)
    entries = await store.pending([Key("ada", "m1")])
    await store.settle([settlement(entry) for entry in entries.values()])
    assert await store.collect_tombstones(await store.tombstones_due(age=-1, limit=10)) == 1
    await backed_up(store, tmp_path, incremental=True)
    memories, _, _ = await brought(tmp_path)
    assert [m.id for m in memories] == ["m0", "m2", "m3"]


async def test_what_came_at_an_old_version_is_not_missed(tmp_path: Path) -> None:
    """A memory that was brought from elsewhere, older than everything in the backup before, is in the incremental."""
    async with opened(elsewhere) as store:  # noqa: F811
        await fill(store, 10)
        await backed_up(store, tmp_path)
        await store.transfer([a_memory("old", version=5)], [], AT_ONCE)
        assert (await backed_up(store, tmp_path, incremental=True)).counts["memories"] == 1
        assert (await brought(tmp_path))[:2] == (await dump(store))[:2]


async def test_a_truth_that_went_back_needs_a_full_backup(tmp_path: Path) -> None:
    """A memory that is older than in the backup before, or gone without a trace, refuses an incremental by name."""
    async with opened(lambda: SqliteStore(tmp_path / "a.db")) as store:  # noqa: F811
        await store.write_many([a_write(f"m{i}") for i in range(4)], AT_ONCE)
        await backed_up(store, tmp_path / "b")
        await store._sessions.write(lambda session: session.execute("DELETE FROM memories WHERE id = 'm2'"))
        with pytest.raises(BackupError, match="'m2' of 'ada' is older there now, or was removed by hand"):
            await backed_up(store, tmp_path / "b", incremental=True)
        assert len(await backups(tmp_path / "b")) == 1
        assert (await backed_up(store, tmp_path / "b")).live == 3


async def test_a_chain_ends(tmp_path: Path) -> None:
    """After so many backups on one another the next is full; so is the first of a store, or the first encrypted one."""
    async with opened(elsewhere) as store, opened(elsewhere) as other:  # noqa: F811
        await store.write(a_write("m"), AT_ONCE)
        await other.write(a_write("m"), AT_ONCE)
        chains = [(await backed_up(store, tmp_path, incremental=True, longest=3)).chain for _ in range(5)]
        assert chains == [1, 2, 3, 1, 2]
        assert (await backed_up(other, tmp_path, incremental=True)).chain == 1
        assert (await backed_up(store, tmp_path, incremental=True)).chain == 3
        assert (await backed_up(store, tmp_path, incremental=True, passphrase=RIGHT)).chain == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_another_model_is_refused(tmp_path: Path) -> None:
    """A backup of another model or dimension is refused before anything is written."""
    async with opened(elsewhere) as source:
        await fill(source, 5)
        await backed_up(source, tmp_path)
    for model, dimension in (("other", DIMENSION), ("test", 5)):
        async with opened(elsewhere, model, dimension) as target:
            with pytest.raises(EmbeddingMismatchError, match="The backup holds embeddings of 'test'"):
                await restore(target, tmp_path, config=CONFIG)
            assert (await dump(target))[:2] == ([], [])


async def test_passphrases(tmp_path: Path) -> None:
    """An encrypted chain opens with its passphrase alone; none, and a wrong one, have their own sentences."""
    async with opened(elsewhere) as store:  # noqa: F811
        await store.write(a_write("m1", SOMEBODY, content="a secret nobody knows"), AT_ONCE)
        await backed_up(store, tmp_path, passphrase=RIGHT)
        await store.write(a_write("m2", SOMEBODY, content="another secret"), AT_ONCE)
        done = await backed_up(store, tmp_path, passphrase=RIGHT, incremental=True)
        assert done.chain == 2
        assert (await brought(tmp_path, passphrase=RIGHT))[:2] == (await dump(store))[:2]
        with pytest.raises(BackupPassphraseError, match="no passphrase was given"):
            await verify(tmp_path / done.name)
        with pytest.raises(BackupPassphraseError, match="not the one"):
            await verify(tmp_path / done.name, "wrong")
        with pytest.raises(BackupPassphraseError, match="not the one"):
            await backed_up(store, tmp_path, passphrase=OTHER, incremental=True)
    assert all(b"secret" not in data and SOMEBODY.encode() not in data for data in files(tmp_path).values())


async def test_a_manifest_names_nobody(tmp_path: Path) -> None:
    """Tenants' names are in a manifest as salted hashes only, another salt each time."""
    async with opened(elsewhere) as store:  # noqa: F811
        await store.write_many([a_write(name, user) for user in TENANTS for name in ("m1", "m2")], AT_ONCE)
        listed = [read(tmp_path / (await backed_up(store, tmp_path)).name)[0].tenants for _ in range(2)]
        assert sorted(listed[0].counts.values()) == [2, 2, 2]
        assert not listed[0].counts.keys() & listed[1].counts.keys()
    texts = [text for name, text in files(tmp_path).items() if name.endswith("manifest.json")]
    assert all(user.encode() not in text for user in TENANTS for text in texts)


async def test_one_at_a_time(tmp_path: Path) -> None:
    """While somebody backs up into a folder, another backup and a restore there are refused by a sentence."""
    async with opened(elsewhere) as store:  # noqa: F811
        await store.write(a_write("m"), AT_ONCE)
        await backed_up(store, tmp_path)
        with Shelf(tmp_path).held(alone=True):
            with pytest.raises(BackupError, match="Somebody else is at work"):
                await backed_up(store, tmp_path)
            with pytest.raises(BackupError, match="Somebody else is at work"):
                await restore(store, tmp_path, config=CONFIG)


async def test_a_cancelled_backup_leaves_nothing(store: VectorStore, tmp_path: Path) -> None:  # noqa: F811
    """Cancelled at any point, a backup leaves no file behind, and the next one is made as if there had been none."""
    await fill(store, 60)
    for turns in (1, 5, 20, 60, 150):
        task = asyncio.create_task(backed_up(store, tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not [name for name in files(tmp_path) if name.startswith(".")]
    await backed_up(store, tmp_path)
    assert (await brought(tmp_path))[:2] == (await dump(store))[:2]


async def test_what_can_be_said_comes_back(tmp_path: Path) -> None:
    """Texts, numbers, nested metadata, entities and relationships of every kind come back as they were."""
    said = {"big": 1e20, "deep": {"list": [1, 2.5, None, True], "n": -(2**63)}, "text": 'ä 🜚 \u2028 \\ " \n'}
    entities = (Entity(name="Ada", type="Person", properties={"age": 36}), Entity(name="ada", type="Ship"))
    relation = Relationship(source="Ada", type="ON", target="ada", source_type="Person", target_type="Ship")
    one = a_memory("ü\n", metadata=said, entities=entities, relationships=(relation,), content="x" * 300_000)
    async with opened(elsewhere) as store:  # noqa: F811
        await store.transfer([one], [Tombstone("b", "gone", 7)], AT_ONCE)
        await backed_up(store, tmp_path)
    memories, stones, _ = await brought(tmp_path)
    assert memories == [one]
    assert isinstance(memories[0], Memory)
    assert stones == [Tombstone("b", "gone", 7)]


async def test_of_several_truths_none_is_chosen(tmp_path: Path) -> None:
    """A folder with backups of two truths is refused, both told; the newest may be of the truth that was just made."""
    async with opened(elsewhere) as lost, opened(elsewhere) as new:
        await fill(lost, 3)
        await backed_up(lost, tmp_path)
        full = await backed_up(lost, tmp_path)
        empty = await backed_up(new, tmp_path)
        with pytest.raises(BackupError, match=rf"2 truths.*{full.name} \(memories: 6\) and {empty.name} \("):
            await restore(new, tmp_path, config=CONFIG)
        assert (await restore(new, tmp_path / full.name, config=CONFIG)).in_step
        assert (await dump(new))[0] == (await dump(lost))[0]
