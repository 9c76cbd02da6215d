"""`diptych backup`, `restore`, `erase`: the installed command, as a person and a cron job use it."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import pytest

from api.cli.backing.passphrase import VARIABLE
from tests.acceptance.test_cli_moving import remember

MANY = 20


@pytest.fixture
def sqlite(diptych) -> str:
    return f"sqlite:///{diptych.folder}/truth.db"


def backup(diptych, *options: str, **environment: str) -> dict:
    ran = diptych("backup", "b", "--json", *options, **environment)
    assert ran.code == 0, ran.err
    return ran.json


def test_a_backup_comes_back_on_another_backend(diptych, sqlite):
    """A backup of Postgres is listed, verified, planned, and restored into SQLite, exactly and twice."""
    remember(diptych, MANY)
    done = backup(diptych)
    assert (done["kind"], done["consistency"], done["live"]) == ("full", "snapshot", 2 * MANY - 1)
    assert [one["name"] for one in diptych("backup", "list", "b", "--json").json] == [done["name"]]
    assert diptych("backup", "verify", "b").out == f"{done['name']} is whole.\n"
    plan = diptych("restore", "b", "--dry-run", "--json", DIPTYCH_VECTOR_URL=sqlite).json
    assert (plan["planned"], plan["written"], plan["dry_run"]) == (2 * MANY - 1, 0, True)
    ran = diptych("restore", "b", "--json", DIPTYCH_VECTOR_URL=sqlite)
    assert (ran.code, ran.json["written"], ran.json["in_step"]) == (0, 2 * MANY, True), ran.err
    again = diptych("restore", f"b/{done['name']}", "--json", DIPTYCH_VECTOR_URL=sqlite).json
    assert (again["written"], again["left"], again["same"]) == (0, 2 * MANY, 2 * MANY - 1)
    first, second = diptych("export", "--full").lines, diptych("export", "--full", DIPTYCH_VECTOR_URL=sqlite).lines
    assert first[1:-1] == second[1:-1]


def test_a_cron_job(diptych):
    """Incremental backups with retention: what is kept stands on what is kept."""
    remember(diptych, MANY)
    names = [backup(diptych, "--incremental", "--chain", "2", "--keep", "2") for _ in range(5)]
    assert [one["kind"] for one in names] == ["full", "incremental"] * 2 + ["full"]
    assert names[-1]["removed"] == []
    assert names[3]["removed"] == [names[0]["name"], names[1]["name"]]
    listed = [one["name"] for one in diptych("backup", "list", "b", "--json").json]
    assert listed == [one["name"] for one in names[2:]]
    ran = diptych("backup", "verify", "b", "--all", "--json")
    assert (ran.code, ran.json["damaged"]) == (0, 0)


def test_passphrases(diptych, sqlite):
    """A passphrase comes from a file or the environment, never from the arguments; a wrong one has its own sentence."""
    remember(diptych, 3)
    (diptych.folder / "phrase").write_text("open sesame\n")
    assert backup(diptych, "--passphrase-file", "phrase")["encrypted"]
    ran = diptych("restore", "b", DIPTYCH_VECTOR_URL=sqlite)
    assert (ran.code, ran.err.splitlines()[0]) == (2, "Error: The backup is encrypted, and no passphrase was given.")
    ran = diptych("restore", "b", DIPTYCH_VECTOR_URL=sqlite, **{VARIABLE: "open barley"})
    assert ran.code == 2
    assert "The passphrase is not the one that the backup was encrypted with." in ran.err
    assert "barley" not in ran.err
    ran = diptych("restore", "b", DIPTYCH_VECTOR_URL=sqlite, **{f"{VARIABLE}_FILE": "phrase"})
    assert ran.code == 0, ran.err
    assert diptych("backup", "c", "--encrypt").code == 2
    (diptych.folder / "phrase").write_text("\n")
    assert "is empty" in diptych("backup", "c", "--passphrase-file", "phrase").err


def test_damage_is_refused(diptych, sqlite):
    """A damaged backup is told by verify (1), and refused by restore (2) before anything is written."""
    remember(diptych, 3)
    done = backup(diptych)
    part = next((diptych.folder / "b" / done["name"]).glob("memories-*"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    ran = diptych("backup", "verify", "b")
    assert ran.code == 1
    assert "is damaged" in ran.out
    ran = diptych("restore", "b", DIPTYCH_VECTOR_URL=sqlite)
    assert ran.code == 2
    assert re.match(r"Error: .*is not what was written: its checksum is another one\.\nTry: ", ran.err)
    assert diptych("list", "--user", "ada", DIPTYCH_VECTOR_URL=sqlite).out == ""
    (diptych.folder / "b" / done["name"] / "manifest.json").write_text("{}")
    ran = diptych("backup", "list", "b")
    assert ran.code == 1
    assert "damaged" in ran.out


def test_a_truth_that_is_not_there_is_no_empty_backup(bare):
    """A backup of a truth that was never made is an error, and makes neither a truth nor a backup."""
    ran = bare("backup", "b", DIPTYCH_VECTOR_URL=f"sqlite:///{bare.folder}/typo.db", DIPTYCH_GRAPH_URL="none://")
    assert ran.code == 2
    assert not (bare.folder / "b").exists()


def test_a_backup_without_names_needs_a_path(diptych):
    """`backup` alone shows its help; a folder that is called like a command is meant by ./list."""
    assert "Usage: diptych backup" in diptych("backup").out + diptych("backup").err
    remember(diptych, 1)
    assert diptych("backup", "./list").code == 0
    assert (diptych.folder / "list").is_dir()


@pytest.mark.long
def test_both_stores_are_in_step_after_a_restore(paired):
    """What a restore writes is listed for the graph: after the relay a full check finds both in step."""
    remember(paired, MANY)
    assert paired("relay").code == 0
    done = backup(paired)
    for line in paired("list", "--user", "ada", "--all", "--json").lines[:5]:
        assert paired("delete", line["id"], "--user", "ada").code == 0
    assert paired("restore", "b", "--json").json["newer"] == 5
    assert done["live"] == 2 * MANY - 1
    assert paired("check", "--depth", "full", "--json").json["in_step"]


def test_a_graph_that_is_ahead(paired):
    """Truth alone was put back to an older copy by its own tool: repair and relay bring both in step."""
    truth = paired.folder / "truth.db"
    paired.environment["DIPTYCH_VECTOR_URL"] = f"sqlite:///{truth}"
    remember(paired, MANY)
    assert paired("relay").code == 0
    copy = truth.read_bytes()
    assert paired("store", "Since.", "--id", "m001", "--user", "bob").code == 0
    assert paired("store", "New since.", "--id", "extra", "--user", "bob").code == 0
    truth.write_bytes(copy)
    checked = paired("check", "--depth", "full", "--json")
    assert (checked.code, sorted(checked.json["counts"])) == (1, ["ahead_in_graph", "orphan_in_graph"])
    assert paired("repair", "--depth", "full", "--apply").code in (0, 1)
    assert paired("relay").code == 0
    assert paired("check", "--depth", "full", "--json").json["in_step"]


def test_a_new_truth_takes_the_graph_of_a_lost_one_when_it_is_named(paired):
    """A backup restored into a new truth is another truth: it takes the lost one's graph over by its id alone."""
    remember(paired, MANY)
    backup(paired)
    assert paired("store", "Since.", "--id", "m001", "--user", "bob").code == 0
    assert paired("store", "New since.", "--id", "extra", "--user", "bob").code == 0
    paired.environment["DIPTYCH_VECTOR_URL"] = f"sqlite:///{paired.folder}/new.db"
    refused = paired("restore", "b")
    assert refused.code == 2
    assert (named := re.search("This graph belongs to another truth, ([0-9a-f-]{36})", refused.err))
    assert paired("schema", "adopt-graph", "--from", str(uuid4())).code == 2
    assert paired("schema", "adopt-graph", "--from", named[1]).code == 0
    assert paired("restore", "b").code == 0
    assert paired("relay").code == 0
    assert paired("repair", "--depth", "full", "--apply").code in (0, 1)
    assert paired("relay").code == 0
    assert paired("check", "--depth", "full", "--json").json["in_step"]


def test_erasure(paired, graph):
    """A tenant goes from both stores and from the records of runs; it is said which backups hold it; others stay."""
    remember(paired, MANY)
    kept = backup(paired)
    with graph.session() as session:
        session.run("MATCH (m:DiptychMemory {user_id: 'ada', id: 'm003'}) DETACH DELETE m").consume()
    found = paired("check", "--json")
    assert found.code == 1
    ran = paired("erase", "--user", "ada", "--yes", "--backups", "b", "--json")
    assert ran.code == 1, ran.err
    done = ran.json
    assert (done["deleted"], done["found"], done["runs"], done["pending"]) == (MANY, 1, 1, 0)
    assert [(one["path"], one["memories"]) for one in done["backups"]] == [(f"b/{kept['name']}", MANY)]
    with graph.session() as session:
        live = session.run("MATCH (n) WHERE n.user_id = 'ada' AND NOT n:DiptychMemory RETURN count(*)").single(
            strict=True
        )
        assert live[0] == 0
    assert paired("list", "--user", "ada").out == ""
    assert "ada" not in json.dumps(paired("runs", "list", "--json").json)
    assert len(paired("list", "--user", "bob", "--all", "--json").lines) == MANY - 1
    again = paired("erase", "--user", "ada", "--yes", "--json")
    assert (again.code, again.json["deleted"], again.json["tombstones"]) == (0, 0, MANY)
    one = paired("erase", "--user", "bob", "--id", "m001", "--yes", "--backups", "b", "--json")
    assert (one.code, one.json["deleted"], one.json["backups"][0]["memories"]) == (1, 1, 1)
    assert paired("erase", "--user", "bob").code == 2
    assert paired("check", "--depth", "full", "--json").json["in_step"]


def test_an_erasure_that_cannot_say_what_remains_erases_nothing(diptych):
    """A folder of backups that is not there is told before anything is gone."""
    remember(diptych, 3)
    before = len(diptych("list", "--user", "ada", "--all", "--json").lines)
    ran = diptych("erase", "--user", "ada", "--yes", "--backups", "nowhere")
    assert (ran.code, "nowhere is no folder" in ran.err) == (2, True)
    assert len(diptych("list", "--user", "ada", "--all", "--json").lines) == before > 0


def test_a_passphrase_is_the_same_wherever_it_comes_from(diptych, sqlite):
    """The first line of a file is the passphrase, whether the file is named by the option or by the environment."""
    remember(diptych, 1)
    (diptych.folder / "phrase").write_text("open sesame\nof the year 2026\n")
    assert backup(diptych, **{f"{VARIABLE}_FILE": "phrase"})["encrypted"]
    ran = diptych("restore", "b", "--passphrase-file", "phrase", DIPTYCH_VECTOR_URL=sqlite)
    assert ran.code == 0, ran.err
    assert diptych("backup", "verify", "b", **{VARIABLE: "open sesame"}).code == 0
    (diptych.folder / "phrase").write_text("\nopen sesame\n")
    refused = diptych("backup", "c", **{f"{VARIABLE}_FILE": "phrase"})
    assert (refused.code, "is empty" in refused.err) == (2, True)
    assert not (diptych.folder / "c").exists()
