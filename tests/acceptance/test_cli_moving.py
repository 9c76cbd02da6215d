"""`diptych migrate`, `export`, `import` of a full export: the installed command on real stores."""

import gzip
import json

import pytest

#: Many processes one after another: minutes together.
pytestmark = pytest.mark.long

MANY = 60


def remember(diptych, count: int = MANY) -> None:
    """Store memories of two tenants, replace one, delete one."""
    lines = [
        {
            "id": f"m{i:03}",
            "user_id": user,
            "content": f"Ada wrote letter {i} to Babbage. 🜚",
            "metadata": {"n": i, "big": 1e20, "deep": {"a": [1, 2.5, None]}},
            "entities": [{"name": "Ada", "type": "Person"}, {"name": "Babbage", "type": "Person"}],
            "relationships": [{"source": "Ada", "type": "WROTE_TO", "target": "Babbage", "properties": {"n": i}}],
            "created_at": "1843-07-10T12:00:00.000001Z",
        }
        for user in ("ada", "bob")
        for i in range(count)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    assert diptych("import", "-", stdin=text).code == 0
    assert diptych("store", "Anew.", "--id", "m001", "--user", "ada").code == 0
    assert diptych("delete", "m005", "--user", "bob").code == 0


def full(diptych, **environment: str) -> list[dict]:
    ran = diptych("export", "--full", **environment)
    assert ran.code == 0, ran.err
    return ran.lines


@pytest.fixture
def sqlite(diptych) -> str:
    return f"sqlite:///{diptych.folder}/truth.db"


def test_a_full_export_comes_back_exactly(diptych, sqlite):
    """What a full export holds another backend restores to the last digit; a second import changes nothing."""
    remember(diptych)
    assert diptych("export", "--full", "all.jsonl").code == 0
    first = (diptych.folder / "all.jsonl").read_text()
    kinds = [json.loads(line) for line in first.splitlines()]
    assert (kinds[0]["diptych"], kinds[0]["format"], kinds[0]["dimension"]) == ("full export", 1, 384)
    assert kinds[-1]["end"]["memories"] == 2 * MANY - 1
    assert kinds[-1]["end"]["tombstones"] == 1
    ran = diptych("import", "all.jsonl", "--json", DIPTYCH_VECTOR_URL=sqlite)
    assert (ran.code, ran.json["read"], ran.json["stored"]) == (0, 2 * MANY, 2 * MANY), ran.err
    again = diptych("import", "all.jsonl", "--json", DIPTYCH_VECTOR_URL=sqlite)
    assert (again.code, again.json["stored"], again.json["already_present"]) == (0, 0, 2 * MANY)
    assert full(diptych, DIPTYCH_VECTOR_URL=sqlite) == kinds
    assert not (diptych.folder / "all.jsonl.part").exists()


def test_a_full_export_through_a_pipe(diptych, sqlite):
    """A full export is known by its first line on standard input and compressed as well."""
    remember(diptych, 10)
    exported = diptych("export", "--full").out
    ran = diptych("import", "-", "--json", stdin=exported, DIPTYCH_VECTOR_URL=sqlite)
    assert (ran.code, ran.json["stored"]) == (0, 20), ran.err
    (diptych.folder / "all.jsonl.gz").write_bytes(gzip.compress(exported.encode()))
    ran = diptych("import", "all.jsonl.gz", "--json", DIPTYCH_VECTOR_URL=sqlite)
    assert (ran.code, ran.json["already_present"]) == (0, 20), ran.err


def test_what_of_a_full_export_is_refused(diptych, sqlite):
    """Another model, a later format, a file cut off, a damaged line, options that do not go with it."""
    remember(diptych, 10)
    lines = diptych("export", "--full").out.splitlines()
    header = json.loads(lines[0])

    def imported(*given: str, options: tuple[str, ...] = ()):
        text = "".join(line + "\n" for line in given)
        return diptych("import", "-", *options, stdin=text, DIPTYCH_VECTOR_URL=sqlite)

    other = imported(json.dumps({**header, "model": "another"}), *lines[1:])
    assert (other.code, "another" in other.err) == (2, True)
    later = imported(json.dumps({**header, "format": 99}), *lines[1:])
    assert (later.code, "99" in later.err) == (2, True)
    assert full(diptych, DIPTYCH_VECTOR_URL=sqlite)[-1]["end"]["memories"] == 0
    assert imported(*lines, options=("--update",)).code == 2
    damaged = imported(*lines[:3], lines[3].replace('"version":', '"version":-'), *lines[4:])
    assert (damaged.code, "stdin:4" in damaged.err) == (2, True)
    cut = imported(*lines[:-5])
    assert (cut.code, "cut off" in cut.err) == (2, True)
    assert imported(*lines).code == 0


def test_a_plain_export_is_what_import_takes(diptych, sqlite):
    """Without --full the lines are memories as anybody would store them, embeddings in them if they are wanted."""
    remember(diptych, 10)
    ran = diptych("export", "--user", "ada")
    assert ran.code == 0
    assert {line["user_id"] for line in ran.lines} == {"ada"}
    assert not {"version", "digest", "deleted"} & set(ran.lines[0])
    again = diptych("import", "-", "--json", stdin=ran.out, DIPTYCH_VECTOR_URL=sqlite)
    assert (again.code, again.json["stored"]) == (0, 10)
    assert diptych("export", DIPTYCH_VECTOR_URL=sqlite).lines == ran.lines
    assert "embedding" not in diptych("export", "--no-embeddings").lines[0]
    assert diptych("export", "--no-embeddings", "--full").code == 2


def test_a_truth_moves(diptych, sqlite):
    """`migrate` copies a truth exactly, says so, and a second call finds nothing to do; a dry run makes nothing."""
    remember(diptych)
    where = ("--from-vector", diptych.environment["DIPTYCH_VECTOR_URL"], "--to-vector", sqlite)
    dry = diptych("migrate", *where, "--dry-run", "--json")
    assert (dry.code, dry.json["vector"]["planned"]) == (0, 2 * MANY - 1), dry.err
    assert not (diptych.folder / "truth.db").exists()
    before = full(diptych)
    ran = diptych("migrate", *where, "--json")
    assert (ran.code, ran.json["vector"]["in_step"], ran.json["graph"]) == (0, True, None), ran.err
    assert full(diptych) == before
    assert full(diptych, DIPTYCH_VECTOR_URL=sqlite) == before
    again = diptych("migrate", *where)
    assert (again.code, again.out.startswith("Both truths are the same")) == (0, True)
    assert "0 copied" in again.out
    shown = diptych("runs", "show", ran.json["vector"]["run_id"], DIPTYCH_VECTOR_URL=sqlite)
    assert (shown.code, "Both truths are the same" in shown.out) == (0, True), shown.err
    resumed = diptych(
        "runs", "resume", ran.json["vector"]["run_id"], DIPTYCH_VECTOR_URL=sqlite, DIPTYCH_GRAPH_URL="memory://"
    )
    assert (resumed.code, "diptych migrate" in resumed.err) == (2, True)


def test_what_a_migration_refuses(diptych, sqlite):
    """No target, no source, another embedder than the source's, a target with memories of its own."""
    remember(diptych, 5)
    source = diptych.environment["DIPTYCH_VECTOR_URL"]
    assert diptych("migrate").code == 2
    missing = diptych("migrate", "--from-vector", sqlite, "--to-vector", source)
    assert (missing.code, "no truth" in missing.err) == (2, True)
    assert not (diptych.folder / "truth.db").exists()
    other = diptych("migrate", "--to-vector", sqlite, DIPTYCH_EMBEDDING_DIMENSION="256")
    assert (other.code, "384" in other.err) == (2, True)
    assert not (diptych.folder / "truth.db").exists()
    assert diptych("store", "Mine.", "--user", "carl", DIPTYCH_VECTOR_URL=sqlite).code == 0
    refused = diptych("migrate", "--to-vector", sqlite)
    assert (refused.code, "--keep-others" in refused.err) == (2, True)
    assert diptych("migrate", "--to-vector", sqlite, "--keep-others").code == 0
    assert diptych("migrate", "--to-graph", "file:///g", "--from-graph", "file:///g").code == 2


def test_a_graph_moves_alone_and_with_its_truth(diptych, sqlite):
    """A new graph is registered for the truth, written from it and checked, also for a truth that was just moved."""
    graphs = [f"file://{diptych.folder}/graph{i}" for i in range(3)]
    diptych.environment["DIPTYCH_GRAPH_URL"] = graphs[0]
    remember(diptych, 20)
    dry = diptych("migrate", "--to-graph", graphs[1], "--dry-run", "--json")
    assert (dry.code, dry.json["graph"]["memories"]) == (0, 39), dry.err
    assert diptych("check").code == 0, "the graph is the one that it was"
    ran = diptych("migrate", "--from-graph", graphs[0], "--to-graph", graphs[1], "--json")
    assert (ran.code, ran.json["vector"], ran.json["graph"]["in_step"]) == (0, None, True), ran.err
    assert ran.json["graph"]["rebuild"]["memories"] == 39
    assert diptych("check", "--depth", "full", DIPTYCH_GRAPH_URL=graphs[1]).code == 0
    assert diptych("check").code == 2, "the former graph is not this truth's any more"
    both = diptych("migrate", "--to-vector", sqlite, "--to-graph", graphs[2], "--json")
    assert (both.code, both.json["vector"]["in_step"], both.json["graph"]["in_step"]) == (0, True, True), both.err
    moved = {"DIPTYCH_VECTOR_URL": sqlite, "DIPTYCH_GRAPH_URL": graphs[2]}
    assert diptych("check", "--depth", "full", **moved).code == 0
    assert diptych("store", "More.", "--user", "ada", DIPTYCH_GRAPH_URL=graphs[1]).code == 0
    again = diptych("migrate", "--to-vector", sqlite, "--to-graph", graphs[2])
    assert again.code == 0, again.err
    assert "The graph is in step with truth; 0 memories were written anew." in again.out
    assert diptych("check", **moved).code == 0
