"""`rebuild`: the graph written anew from truth, on real stores, killed and interrupted in the middle too."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

import pytest

from tests.acceptance.conftest import EXECUTABLE
from tests.acceptance.planted import fill, forget, snapshot, wait_for_run, wipe

#: Many processes one after another: minutes together.
pytestmark = pytest.mark.long

FIELDS = {"run_id", "complete", "memories", "nodes", "edges", "removed", "duration_ms"}
#: Pages small and slow enough to be met in the middle.
SLOWLY = ("--rate", "100")
SMALL = {"DIPTYCH_SYNC_BATCH": "10", "DIPTYCH_RUN_LEASE": "1"}
COUNT = 200


def theirs(graph) -> int:
    return graph.execute_query("MATCH (n:Theirs)-[:KNOWS]->(:Theirs) RETURN count(n) AS n")[0][0]["n"]


def test_a_wiped_graph_is_written_anew(paired, graph):
    """After everything of ours was deleted, a rebuild brings it all back; other people's nodes stay as they are."""
    fill(paired, "u1", "u2", count=10)
    wipe(graph)
    graph.execute_query("CREATE (:Theirs)-[:KNOWS]->(:Theirs)")
    done = paired("rebuild", "--json")
    assert (done.code, done.err) == (0, "")
    assert set(done.json) >= FIELDS
    assert (done.json["complete"], done.json["memories"], done.json["edges"], done.json["removed"]) == (True, 20, 60, 0)
    assert done.json["nodes"] == 20 + 2 * (10 + 3)
    assert paired("check", "--depth", "full").code == 0
    assert theirs(graph) == 1
    graph.execute_query("MATCH (n:Theirs) DETACH DELETE n")


def test_one_tenant_is_rebuilt_alone(paired, graph):
    """A rebuild of one tenant leaves every node and edge of another one as it is, and sweeps the one's own orphans."""
    fill(paired, "u1", "u2", count=10)
    wipe(graph, "u1")
    others = snapshot(graph, "u2")
    done = paired("rebuild", "--user", "u1")
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith("Rebuilt: 10 memories of u1, 30 edges written anew in ")
    assert second.startswith("23 nodes in the graph, ")
    assert snapshot(graph, "u2") == others
    forget(paired, "u1", "m0004")
    swept = paired("rebuild", "--user", "u1", "--json")
    assert (swept.code, swept.json["memories"], swept.json["removed"] >= 1) == (0, 9, True)
    assert snapshot(graph, "u2") == others
    assert paired("check", "--depth", "full").code == 0


def test_orphans_beyond_the_cap_survive_a_rebuild(paired, graph):
    """A rebuild refuses more orphans than a tenth of the tenant, with exit 1 and a sentence, until it is forced."""
    fill(paired, "u1", count=10)
    forget(paired, "u1", "m0001", "m0002", "m0003")
    ran = paired("rebuild", "--json")
    assert (ran.code, ran.json["complete"], ran.json["refused"], ran.json["removed"]) == (1, True, 3, 0)
    assert "--force" in ran.err
    forced = paired("rebuild", "--force", "--json")
    assert (forced.code, forced.json["refused"]) == (0, 0)
    assert paired("check").code == 0


def test_a_dry_rebuild_changes_nothing(paired, graph):
    """`--dry-run` says what would be written and writes nothing."""
    fill(paired, "u1")
    wipe(graph, "u1")
    ran = paired("rebuild", "--dry-run", "--json")
    assert (ran.code, ran.json["dry_run"], ran.json["memories"]) == (0, True, 3)
    assert snapshot(graph, "u1") == []


def test_emptying_a_graph_first(paired, graph):
    """`--clear-existing` says what reads will miss, needs --yes where nobody can be asked, and spares other tenants."""
    fill(paired, "u1", "u2", count=10)
    others, before = snapshot(graph, "u2"), snapshot(graph, "u1")
    refused = paired("rebuild", "--clear-existing", "--user", "u1")
    assert (refused.code, refused.out) == (2, "")
    assert "Try: the same command with --yes" in refused.err
    assert snapshot(graph, "u1") == before
    done = paired("rebuild", "--clear-existing", "--user", "u1", "--yes", "--json")
    assert (done.code, done.json["memories"]) == (0, 10)
    assert done.err == "Reads of the graph miss memories of u1 until the rebuild is done.\n"
    assert snapshot(graph, "u2") == others
    assert paired("check", "--depth", "full").code == 0


def test_emptying_a_graph_is_asked_about_on_a_terminal(paired, graph):
    """On a terminal `--clear-existing` asks; whoever does not say yes has changed nothing."""
    fill(paired, "u1")
    before = snapshot(graph, "u1")
    ours, its = pty.openpty()
    args = ("rebuild", "--clear-existing", "--user", "u1")
    with subprocess.Popen(
        [EXECUTABLE, *args], stdin=its, stdout=subprocess.PIPE, stderr=its, env=paired.environment, cwd=paired.folder
    ) as process:
        os.close(its)
        said = b""
        while b"[y/N] " not in said:
            said += os.read(ours, 1_024)
        os.write(ours, b"n\n")
        assert process.wait(60) == 2
    os.close(ours)
    assert b"Empty the graph of u1?" in said
    assert snapshot(graph, "u1") == before


def test_entities_are_found_anew_on_request(paired):
    """`--re-extract` runs the extractor over memories whose entities it had found, and leaves given ones alone."""
    found = {"id": "m1", "user_id": "u1", "content": "Ada Lovelace wrote to Charles Babbage."}
    given = {"id": "m2", "user_id": "u1", "content": "Ada Lovelace", "entities": [{"name": "x", "type": "Letter"}]}
    assert paired("import", "-", stdin="\n".join(map(json.dumps, (found, given)))).code == 0
    ran = paired("rebuild", "--re-extract", "--json")
    assert (ran.code, ran.json["complete"], ran.json["memories"]) == (0, True, 2)
    entities = paired("get", "m2", "--user", "u1", "--json").json["entities"]
    assert [entity["name"] for entity in entities] == ["x"]


@pytest.mark.parametrize("taken_up_by", ["resume", "rebuild"])
def test_a_killed_rebuild_is_taken_up(paired, graph, taken_up_by):
    """After kill -9 in the middle, `runs resume` or the same command again goes on behind what was written."""
    paired.environment |= SMALL
    fill(paired, "u1", count=COUNT)
    wipe(graph)
    with paired.start("rebuild", *SLOWLY) as process:
        run_id = wait_for_run(paired, process, 20)
        process.kill()
    again = {"resume": ("runs", "resume", run_id), "rebuild": ("rebuild", *SLOWLY)}[taken_up_by]
    done = paired(*again, "--json")
    assert (done.code, done.json["run_id"], done.json["memories"]) == (0, run_id, COUNT)
    shown = paired("runs", "show", run_id, "--json").json
    assert (shown["state"], shown["attempts"]) == ("done", 2)
    assert paired("check", "--depth", "structure").code == 0


def test_an_interrupted_rebuild_says_how_to_go_on(paired, graph):
    """Ctrl-C leaves the run interrupted, and stderr names the command that takes it up and finishes it."""
    paired.environment |= SMALL
    fill(paired, "u1", count=COUNT)
    wipe(graph)
    with paired.start("rebuild", *SLOWLY) as process:
        run_id = wait_for_run(paired, process, 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.decode() == f"Try: diptych runs resume {run_id}\nInterrupted.\n"
    assert paired("runs", "show", run_id, "--json").json["state"] == "interrupted"
    done = paired("runs", "resume", run_id, "--json")
    assert (done.code, done.json["memories"]) == (0, COUNT)
