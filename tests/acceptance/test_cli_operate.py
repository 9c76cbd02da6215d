"""`status`, `relay`, `dead-letters`, `schema`: what an operator runs, on real stores."""

from __future__ import annotations

import json
import re

import pytest

#: Too long for the index that `poison` makes.
BAD = {"poison": "x" * 40_000}


def seed(command, **memories):
    """Import memories, each with one entity and what is said of it there."""
    lines = [
        {"id": name, "user_id": "u1", "content": "c", "entities": [{"name": "x", "type": "Letter", "properties": said}]}
        for name, said in memories.items()
    ]
    ran = command("import", "-", stdin="\n".join(json.dumps(line) for line in lines))
    assert ran.code == 0, ran.err


def test_status_of_a_pair_in_step(paired):
    """The fields that scripts lean on: status, stores, outbox, counts, last_check; exit 0 where both stores answer."""
    seed(paired, m1={}, m2={})
    ran = paired("status", "--json")
    assert ran.code == 0
    assert ran.json["status"] == "healthy"
    assert ran.json["stores"]["vector"]["status"] == "healthy"
    assert ran.json["stores"]["graph"]["latency_ms"] > 0
    assert {name: ran.json["outbox"][name] for name in ("pending", "dead", "oldest_age_s")} == {
        "pending": 0,
        "dead": 0,
        "oldest_age_s": None,
    }
    assert ran.json["counts"] == {"vector": {"value": 2, "exact": True}, "graph": {"value": 2, "exact": True}}
    assert ran.json["last_check"] is None
    shown = paired("status")
    assert "2 memories" in shown.out
    assert "nothing is in doubt" in shown.out


def test_status_without_a_graph(diptych):
    """A graph that is not configured is `disabled`, which is no trouble."""
    ran = diptych("status", "--json")
    assert (ran.code, ran.json["stores"]["graph"]["status"]) == (0, "disabled")


def test_relay_with_nothing_to_do(paired):
    """An empty outbox is worked off at once."""
    ran = paired("relay", "--json")
    assert (ran.code, ran.json) == (0, {"applied": 0, "failed": 0, "dead": 0, "pending": 0})


@pytest.fixture
def poison(graph):
    """Make someone else's index in the graph, by which a long `poison` cannot be written; a call takes it away."""

    def lift():
        graph.execute_query("DROP INDEX poison IF EXISTS")

    graph.execute_query("CREATE INDEX poison IF NOT EXISTS FOR ()-[r:MENTIONS]-() ON (r.poison)")
    graph.execute_query("CALL db.awaitIndexes(30)")
    yield lift
    lift()


def test_dead_letters_are_listed_retried_and_discarded(paired, poison):
    """An entry that fails alone is dead after its attempts: `relay` exits with 1, and a person decides."""
    paired.environment |= {"DIPTYCH_RELAY_ATTEMPTS": "1"}
    seed(paired, good={}, bad=BAD)
    ran = paired("relay", "--json")
    assert (ran.code, ran.json["dead"], ran.json["pending"]) == (1, 1, 0)

    listed = paired("dead-letters", "list", "--user", "u1", "--json").json["dead_letters"]
    assert [(entry["id"], entry["user_id"], entry["dead"]) for entry in listed] == [("bad", "u1", True)]
    assert listed[0]["reason"]

    poison()
    retried = paired("dead-letters", "retry", "--all", "--json")
    assert (retried.code, retried.json) == (0, {"status": "retried", "retried": 1})
    repeated = paired("dead-letters", "retry", "bad", "--user", "u1", "--json")
    assert (repeated.code, repeated.json) == (0, {"status": "already_retried", "retried": 0})
    done = paired("relay", "--json")
    assert (done.code, done.json["applied"], done.json["dead"]) == (0, 1, 0)


def test_a_dead_letter_is_discarded_once(paired, poison):
    """`discard` takes the entry out of the outbox; the second time there is nothing to do, and that is no error."""
    paired.environment |= {"DIPTYCH_RELAY_ATTEMPTS": "1"}
    seed(paired, bad=BAD)
    assert paired("relay").code == 1
    assert "bad" in paired("dead-letters", "list").out
    states = [paired("dead-letters", "discard", "bad", "--user", "u1", "--json") for _ in range(2)]
    assert [ran.json["status"] for ran in states] == ["discarded", "already_gone"]
    assert [ran.code for ran in states] == [0, 0]


def test_the_schema_is_made_once(diptych):
    """`schema upgrade` on an empty database makes the schema; repeated, it says that it is current."""
    before = diptych("schema", "status", "--json")
    assert (before.code, before.json["current"]) == (2, False)
    first = diptych("schema", "upgrade", "--json")
    assert (first.code, first.json["status"], first.json["before"]) == (0, "upgraded", 0)
    second = diptych("schema", "upgrade", "--json")
    assert (second.code, second.json["status"]) == (0, "already_current")
    after = diptych("schema", "status", "--json")
    assert (after.code, after.json["current"], after.json["version"]) == (0, True, first.json["after"])


def test_a_second_graph_is_refused_until_it_is_adopted(paired, graph):
    """A truth keeps to its graph; `schema adopt-graph` makes another one its own and lists every memory for it."""
    seed(paired, m1={}, m2={})
    graph.execute_query("MATCH (n:DiptychStore) SET n.id = randomUUID()")
    refused = paired("list", "--user", "u1")
    assert (refused.code, refused.out) == (2, "")
    assert "Try: " in refused.err
    assert "adopt-graph" in refused.err
    adopted = paired("schema", "adopt-graph", "--json")
    assert (adopted.code, adopted.json) == (0, {"status": "adopted", "listed": 2})
    assert paired("relay", "--json").json["applied"] == 2


def test_version_and_help(bare):
    """`--version` and `--help` need no store, and name what there is."""
    assert re.fullmatch(r"diptych \d+\.\d+\.\d+\S*\n", bare("--version").out)
    text = bare("--help").out
    for name in ("demo", "import", "store", "get", "list", "search", "delete", "status", "relay", "dead-letters"):
        assert f"│ {name} " in text
    for name in ("schema", "local", "doctor"):
        assert f"│ {name} " in text
