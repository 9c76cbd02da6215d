"""`check`, `repair` and `sync`: drift planted behind the command's back on real stores; found, told, mended."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.planted import RELATED, fill, forget, lose, snapshot, wipe

CHECK_FIELDS = {
    "run_id",
    "depth",
    "complete",
    "in_step",
    "checked",
    "pending",
    "counts",
    "inconsistencies",
    "duration_ms",
}
REPAIR_FIELDS = CHECK_FIELDS | {"planned", "repaired", "refused", "dry_run"}


def plant(command, graph) -> None:
    """Plant one of each kind that a quick check sees, in ten memories of u1."""
    lose(graph, "u1", "m0001")
    forget(command, "u1", "m0002")
    node = "MATCH (m:DiptychMemory {user_id: 'u1', id: $id}) "
    graph.execute_query(node + "SET m.version = m.version - 1", id="m0003")
    graph.execute_query(node + "SET m.version = m.version + 1000000", id="m0004")
    graph.execute_query(node + "SET m.digest = m.digest / 2", id="m0005")


PLANTED = {
    ("missing_in_graph", "m0001"),
    ("orphan_in_graph", "m0002"),
    ("stale_in_graph", "m0003"),
    ("ahead_in_graph", "m0004"),
    ("content_mismatch", "m0005"),
}


def kinds(report) -> set[tuple[str, str]]:
    return {(one["kind"], one["memory_id"]) for one in report["inconsistencies"]}


def test_a_pair_in_step(paired):
    """In step is exit 0, a sentence, and the fields that scripts lean on; `status` shows the newest of each depth."""
    fill(paired, "u1", "u2")
    ran = paired("check", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.json) >= CHECK_FIELDS
    assert (ran.json["complete"], ran.json["in_step"], ran.json["depth"]) == (True, True, "quick")
    assert (ran.json["checked"], ran.json["pending"]) == ({"vector": 6, "graph": 6}, 0)
    assert (ran.json["counts"], ran.json["inconsistencies"]) == ({}, [])

    shown = paired("check", "--depth", "full", "--user", "u2")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("In step: 3 memories of u2, checked both ways, every property included, in ")
    assert len(shown.out.splitlines()) == 1

    last = paired("status", "--json").json["last_check"]
    assert last["quick"]["run_id"] == ran.json["run_id"]
    assert (last["quick"]["found"], last["quick"]["complete"], last["quick"]["user_id"]) == (0, True, None)
    assert (last["full"]["user_id"], last["structure"]) == ("u2", None)
    lines = paired("status").out.splitlines()
    assert any(line.startswith("check   quick at ") and line.endswith("no inconsistency") for line in lines)
    assert any(line.startswith("        full at ") and line.endswith("no inconsistency, of u2 only") for line in lines)


def test_drift_is_found_and_told(paired, graph):
    """Each kind planted is found exactly: exit 1, a sentence, a table with examples, and on stderr what mends it."""
    fill(paired, "u1", "u2", count=10)
    plant(paired, graph)
    ran = paired("check", "--json")
    assert (ran.code, ran.json["in_step"], ran.json["complete"]) == (1, False, True)
    assert ran.json["checked"] == {"vector": 19, "graph": 19}
    assert kinds(ran.json) == PLANTED
    assert ran.json["counts"] == {kind: 1 for kind, _ in PLANTED}
    assert {one["user_id"] for one in ran.json["inconsistencies"]} == {"u1"}
    assert ran.err == "Try: diptych repair --apply\n"

    shown = paired("check", "--user", "u1")
    assert (shown.code, shown.err) == (1, "Try: diptych repair --apply --user u1\n")
    first, *table = shown.out.splitlines()
    assert first.startswith("Not in step: 5 of 10 memories of u1 differ, checked both ways in ")
    assert [line.split() for line in table[1:]] == sorted([kind, "1", memory_id] for kind, memory_id in PLANTED)

    named = paired("check", "--user", "u1", "--id", "m0000", "--id", "m0003", "--json")
    assert (named.code, kinds(named.json)) == (1, {("stale_in_graph", "m0003")})
    cut = paired("check", "--limit", "2", "--json").json
    assert (cut["counts"], len(cut["inconsistencies"])) == (ran.json["counts"], 2)


def test_a_repair_is_a_plan_until_it_is_applied(paired, graph):
    """Without --apply a repair changes nothing and exits with 1; with it all is mended; a second has nothing to do."""
    fill(paired, "u1", "u2", count=10)
    plant(paired, graph)
    before = snapshot(graph, "u1")
    plan = paired("repair", "--json")
    assert set(plan.json) >= REPAIR_FIELDS
    assert (plan.code, plan.json["dry_run"], plan.json["planned"], plan.json["repaired"]) == (1, True, 5, 0)
    assert kinds(plan.json) == PLANTED
    assert snapshot(graph, "u1") == before
    told = paired("repair")
    assert told.out.startswith("Planned: 5 of 5 inconsistencies can be mended. Nothing was changed.\n")
    assert told.err == "Try: the same command with --apply\n"

    others = snapshot(graph, "u2")
    done = paired("repair", "--apply")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Mended: 5 of 5 inconsistencies, in ")
    assert "5 planned, 5 repaired, 0 refused, 0 failed" in done.out
    assert snapshot(graph, "u2") == others

    again = paired("repair", "--apply", "--json")
    assert (again.code, again.json["planned"], again.json["repaired"], again.json["in_step"]) == (0, 0, 0, True)
    assert paired("check", "--depth", "full").code == 0


def test_what_a_check_found_is_mended_by_its_run(paired, graph):
    """`repair --run` mends what that check found, edges included, and looks at nothing else."""
    fill(paired, "u1", count=10)
    edge = "MATCH (m:DiptychMemory {user_id: 'u1', id: $id}) "
    graph.execute_query(edge + "MATCH (m)-[r:MENTIONS]->() WITH collect(r)[0] AS r DELETE r", id="m0001")
    graph.execute_query(edge + f"CALL (m) {{ {RELATED} }}", id="m0002")
    found = paired("check", "--depth", "structure", "--json")
    assert (found.code, kinds(found.json)) == (1, {("edge_missing", "m0001"), ("edge_missing", "m0002")})
    lose(graph, "u1", "m0003")
    done = paired("repair", "--apply", "--run", found.json["run_id"], "--json")
    assert (done.code, done.json["planned"], done.json["repaired"]) == (0, 2, 2)
    left = paired("check", "--depth", "structure", "--json")
    assert (left.code, kinds(left.json)) == (1, {("missing_in_graph", "m0003")})


def test_orphans_beyond_the_cap_are_left_until_forced(paired, graph):
    """More orphans than a tenth of the tenant are refused with a sentence and exit 1; --force deletes them."""
    fill(paired, "u1", count=10)
    forget(paired, "u1", "m0001", "m0002", "m0003")
    refused = paired("repair", "--apply")
    assert refused.code == 1
    assert refused.out.startswith("Mended: 0 of 3 inconsistencies")
    assert "0 planned, 0 repaired, 3 refused" in refused.out
    assert "--force" in refused.err
    done = paired("repair", "--apply", "--force", "--json")
    assert (done.code, done.json["repaired"], done.json["refused"]) == (0, 3, 0)


def test_a_strategy_limits_what_a_repair_does(paired, graph):
    """`graph_missing_only` adds and leaves the rest, `report_only` changes nothing whatever else is asked for."""
    fill(paired, "u1", count=10)
    plant(paired, graph)
    only = paired("repair", "--apply", "--strategy", "report_only", "--json")
    assert (only.code, only.json["dry_run"], only.json["repaired"]) == (1, True, 0)
    added = paired("repair", "--apply", "--strategy", "graph_missing_only", "--json")
    assert (added.code, added.json["repaired"], added.json["refused"]) == (1, 1, 4)


def test_pending_memories_are_no_inconsistency(paired):
    """What the outbox lists is told as pending, with exit 0 and what to run."""
    fill(paired, "u1")
    away = "bolt://127.0.0.1:1"
    assert paired("store", "two", "--user", "u1", "--id", "later", DIPTYCH_GRAPH_URL=away).code == 0
    ran = paired("check", "--json")
    assert (ran.code, ran.json["in_step"], ran.json["pending"], ran.json["counts"]) == (0, False, 1, {})
    shown = paired("check")
    assert shown.out.startswith("1 pending; the rest is in step: 4 memories, checked both ways in ")
    assert (shown.code, shown.err) == (0, "Try: diptych relay\n")


def test_a_full_sync_does_it_all(paired, graph):
    """`sync` mends and checks again, exit 0; a dry one changes nothing, and says with exit 1 what is there."""
    fill(paired, "u1", count=10)
    plant(paired, graph)
    dry = paired("sync", "--dry-run", "--json")
    assert (dry.code, dry.json["repair"]["planned"], dry.json["after"]["found"]) == (1, 5, 5)
    done = paired("sync")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("In step: 9 memories, checked both ways in ")
    assert "\nMended: 5 of 5 inconsistencies, in " in done.out
    again = paired("sync", "--depth", "structure", "--user", "u1", "--json")
    assert (again.code, again.json["in_step"], again.json["repair"]["found"]) == (0, True, 0)


def test_a_wiped_graph_is_told_at_once(paired, graph):
    """Where the graph has lost all, the check recommends the rebuild, not a repair."""
    fill(paired, "u1", "u2")
    wipe(graph, "u1")
    ran = paired("check", "--user", "u1")
    assert (ran.code, ran.err) == (1, "Try: diptych rebuild --user u1\n")
    assert ran.out.startswith("Not in step: 3 of 3 memories of u1 differ, checked both ways in ")


def test_an_unknown_tenant(paired):
    """A tenant without memories is no error: zero memories, said so, exit 0."""
    fill(paired, "u1")
    ran = paired("sync", "--user", "nobody", "--json")
    assert (ran.code, ran.json["after"]["checked"]) == (0, {"vector": 0, "graph": 0})
    assert paired("check", "--user", "nobody").out.startswith("In step: no memories of nobody, checked both ways in ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("check", "--depth", "deep"), "--depth"),
        (("check", "--rate", "-1"), "--rate"),
        (("check", "--max-response", "0"), "--max-response"),
        (("check", "--limit", "0"), "--limit"),
        (("check", "--id", "m1"), "--user"),
        (("check", "--user", ""), "user_id"),
        (("repair", "--strategy", "hope"), "--strategy"),
        (("repair", "--run", "x"), "--run"),
        (("rebuild", "--clear-existing"), "--user"),
        (("runs", "show", "x"), "ID"),
    ],
)
def test_input_that_is_not_allowed(diptych, args, said):
    """Bad input is named, exits with 2, and prints neither data nor a traceback."""
    ran = diptych(*args, DIPTYCH_GRAPH_URL="memory://")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_without_a_graph_there_is_nothing_to_compare(diptych):
    """Where no graph is configured these commands say so in a sentence, with exit 2; no run is left behind."""
    for command in ("check", "rebuild"):
        ran = diptych(command)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("Error: This service has no graph store")
        assert "Try: " in ran.err
    assert diptych("runs", "list", "--json").json == {"runs": [], "more": False}


def test_a_graph_that_is_away(paired):
    """A graph that refuses connections: incomplete, exit 2, nothing mended; the repair goes on when it is back."""
    fill(paired, "u1")
    away = "bolt://ada:s3cret@127.0.0.1:1"
    ran = paired("check", "--json", "-v", DIPTYCH_GRAPH_URL=away)
    assert (ran.code, ran.json["complete"], ran.json["in_step"]) == (2, False, False)
    assert set(ran.json["counts"]) == {"unknown"}
    assert "s3cret" not in ran.out + ran.err
    shown = paired("check", "--user", "u1", DIPTYCH_GRAPH_URL=away)
    assert shown.code == 2
    assert shown.out.startswith("Incomplete: not everything could be read.")
    mended = paired("repair", "--apply", "--json", DIPTYCH_GRAPH_URL=away)
    assert (mended.code, mended.json["complete"], mended.json["repaired"]) == (2, False, 0)
    assert f"Try: diptych runs resume {mended.json['run_id']}" in mended.err
    assert paired("sync", DIPTYCH_GRAPH_URL=away).code == 2
    resumed = paired("runs", "resume", mended.json["run_id"], "--json")
    assert (resumed.code, resumed.json["complete"], resumed.json["checked"]) == (0, True, {"vector": 3, "graph": 3})


def test_a_graph_in_memory_is_no_copy(diptych):
    """A graph that this process projects itself is nothing to compare with, and the check says so."""
    diptych.environment["DIPTYCH_GRAPH_URL"] = "memory://"
    fill(diptych, "u1")
    ran = diptych("check")
    assert (ran.code, "no second copy" in ran.out, "no independent copy" in ran.err) == (0, True, True)


def test_names_drive_no_terminal(paired, graph):
    """What a tenant and its memories are called is shown harmless, and in a command that can be pasted."""
    user, name = "o'hara & co", "m\x1b[31m\u202e"
    line = {"id": name, "user_id": user, "content": "c", "entities": []}
    assert paired("import", "-", stdin=json.dumps(line)).code == 0
    graph.execute_query("MATCH (m:DiptychMemory {user_id: $user}) SET m.digest = 1", user=user)
    ran = paired("check", "--user", user)
    assert ran.code == 1
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
    assert ran.err == """Try: diptych repair --apply --user 'o'"'"'hara & co'\n"""
