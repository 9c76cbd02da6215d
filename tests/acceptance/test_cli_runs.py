"""`runs`: what checks, repairs and rebuilds have left behind, on real stores; stopping one, and taking one up."""

from __future__ import annotations

import signal
import uuid

from tests.acceptance.planted import fill, lose, wait_for_run, wipe

NOBODY = str(uuid.UUID(int=7))


def test_runs_are_listed_and_shown(paired, graph):
    """Every check, repair and sync is a run: listed with the newest first, filtered, and shown with its report."""
    fill(paired, "u1", count=5)
    lose(graph, "u1", "m0001")
    check = paired("check", "--user", "u1", "--depth", "structure", "--json").json
    repair = paired("repair", "--apply", "--json").json
    sync = paired("sync", "--json").json

    listed = paired("runs", "list", "--json").json
    assert [run["run_id"] for run in listed["runs"]] == [sync["run_id"], repair["run_id"], check["run_id"]]
    assert [run["kind"] for run in listed["runs"]] == ["full", "repair", "check"]
    assert listed["more"] is False
    for args, expected in (
        (("--kind", "check", "--state", "done"), [check["run_id"]]),
        (("--user", "u1", "-n", "1"), [check["run_id"]]),
        (("-n", "1"), [sync["run_id"]]),
    ):
        some = paired("runs", "list", *args, "--json")
        assert ([run["run_id"] for run in some.json["runs"]], some.json["more"]) == (expected, args[0] == "-n")
    rows = [line.split() for line in paired("runs", "list").out.splitlines()[1:]]
    assert [(row[1], row[2], row[3], *row[5:]) for row in rows] == [
        ("full", "all", "done", "0", "found"),
        ("repair", "all", "done", "1", "repaired"),
        ("check", "u1", "done", "1", "found"),
    ]

    shown = paired("runs", "show", check["run_id"], "--json").json
    assert (shown["state"], shown["user_id"], shown["attempts"]) == ("done", "u1", 1)
    assert shown["report"] == check
    text = paired("runs", "show", check["run_id"])
    assert (text.code, text.err) == (0, "")
    assert "asked       depth structure\n" in text.out
    assert "Not in step: 1 inconsistency in 5 memories of u1, checked both ways, edges included, in " in text.out
    assert "missing_in_graph" in text.out


def test_a_run_that_is_not_there(paired):
    """An unknown id is a sentence and exit 2; an empty list is a sentence and exit 0."""
    for command in ("show", "cancel", "resume"):
        ran = paired("runs", command, NOBODY)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "Error: There is no such run.\nTry: diptych runs list\n"
    none = paired("runs", "list")
    assert (none.code, none.out, none.err) == (0, "", "There are none.\n")


def test_a_run_that_is_done_is_neither_resumed_nor_cancelled(paired):
    """What has ended stays as it is: `resume` is refused, `cancel` says that there was nothing to do."""
    fill(paired, "u1")
    run_id = paired("check", "--json").json["run_id"]
    resumed = paired("runs", "resume", run_id)
    assert (resumed.code, resumed.out) == (2, "")
    assert resumed.err.startswith("Error: The run has ended")
    cancelled = paired("runs", "cancel", run_id, "--json")
    assert (cancelled.code, cancelled.json["status"], cancelled.json["state"]) == (0, "already_done", "done")


def test_one_run_of_a_kind_at_a_time_and_cancelled_from_elsewhere(paired, graph):
    """A second rebuild is told which one is under way; cancelled from elsewhere, that one stops, and can be resumed."""
    paired.environment |= {"DIPTYCH_SYNC_BATCH": "10", "DIPTYCH_RUN_LEASE": "2"}
    fill(paired, "u1", count=600)
    wipe(graph)
    with paired.start("rebuild", "--rate", "10") as process:
        run_id = wait_for_run(paired, process, 10)
        second = paired("rebuild", "--user", "u1")
        assert (second.code, second.out) == (2, "")
        assert second.err == f"Error: A rebuild of all tenants is under way.\nTry: diptych runs show {run_id}\n"
        listed = paired("runs", "list", "--state", "running", "--json").json["runs"]
        assert [run["run_id"] for run in listed] == [run_id]

        asked = paired("runs", "cancel", run_id, "--json")
        assert (asked.code, asked.json["status"]) == (0, "requested")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert err.decode() == f"Error: The run was asked to stop, and did.\nTry: diptych runs resume {run_id}\n"
    shown = paired("runs", "show", run_id)
    assert "cancelled" in shown.out
    assert shown.err == f"Try: diptych runs resume {run_id}\n"
    assert paired("runs", "cancel", run_id, "--json").json["status"] == "already_cancelled"


def test_a_check_that_is_terminated_can_be_taken_up_or_given_up(paired):
    """SIGTERM before a check has said anything: stderr names its run all the same, which `runs cancel` gives up."""
    fill(paired, "u1")
    with paired.start("check", "--rate", "0.01") as process:
        run_id = wait_for_run(paired, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, b"")
    assert err.decode() == f"Try: diptych runs resume {run_id}\nTerminated.\n"
    given_up = paired("runs", "cancel", run_id, "--json")
    assert (given_up.code, given_up.json["status"], given_up.json["state"]) == (0, "cancelled", "cancelled")
