"""`doctor`: what has to be right, ticked off, each with the next command where it is not."""

from __future__ import annotations


def states(ran):
    return {check["name"]: check["state"] for check in ran.json["checks"]}


def find(ran, name):
    return next(check for check in ran.json["checks"] if check["name"] == name)


def test_all_is_well(paired):
    """On an upgraded pair every check is ticked, the servers' versions are said, and the exit code is 0."""
    assert paired("schema", "upgrade").code == 0
    ran = paired("doctor", "--json")
    assert (ran.code, ran.json["ok"]) == (0, True)
    found = states(ran)
    durability = found.pop("durability")
    assert set(found.values()) == {"ok"}
    assert {"python", "vector url", "graph url", "vector store", "schema", "embedding", "graph store"} <= set(found)
    assert "PostgreSQL" in find(ran, "vector store")["detail"]
    # The tests' own server may run without fsync, which doctor has to warn of.
    assert durability in ("ok", "warn")


def test_commits_that_are_not_durable_are_warned_of(diptych, postgres_url):
    """A truth with synchronous_commit off works and exits with 0, but is warned of by the setting's name."""
    assert diptych("schema", "upgrade").code == 0
    ran = diptych("doctor", "--json", PGOPTIONS="-c synchronous_commit=off")
    assert ran.code == 0
    check = find(ran, "durability")
    assert check["state"] == "warn"
    assert "synchronous_commit" in check["detail"]


def test_a_new_database(diptych):
    """Before the first use the schema is missing: a warning with the command that makes it, and nothing is made."""
    for _ in range(2):
        ran = diptych("doctor")
        assert ran.code == 0
        assert "! schema" in ran.out
        assert "Try: diptych schema upgrade" in ran.out


def test_what_is_wrong(diptych):
    """A graph that is away, another embedding model, a setting misspelt: each is named, the exit code is 2."""
    assert diptych("schema", "upgrade").code == 0
    ran = diptych(
        "doctor",
        "--json",
        DIPTYCH_GRAPH_URL="bolt://ada:s3cret@127.0.0.1:1",
        DIPTYCH_EMBEDDING_DIMENSION="100",
        DIPTYCH_VECTR_URL="x",
    )
    assert (ran.code, ran.json["ok"]) == (2, False)
    assert find(ran, "embedding")["state"] == "fail"
    assert "DIPTYCH_VECTR_URL" in find(ran, "settings")["detail"]
    assert "s3cret" not in ran.out + ran.err
    away = diptych("doctor", "--graph-url", "bolt://ada:s3cret@127.0.0.1:1")
    assert away.code == 2
    assert "✗ graph store" in away.out
    assert "s3cret" not in away.out + away.err


def test_a_truth_that_cannot_be_reached(bare):
    """Without the truth nothing else can be looked at, and that is said."""
    ran = bare("doctor", "--json", "--vector-url", "postgresql://127.0.0.1:1/db", "--graph-url", "none://")
    assert ran.code == 2
    assert (states(ran)["vector store"], states(ran)["schema"], states(ran)["outbox"]) == ("fail", "skipped", "skipped")
