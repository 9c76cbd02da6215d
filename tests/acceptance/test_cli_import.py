"""`diptych import` with JSON lines: the installed command on real stores."""

import gzip
import json
import os
import signal
from pathlib import Path

import pytest

FIELDS = {"read", "stored", "already_present", "rejected", "pending", "duration_ms"}


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def memories(count: int, **more) -> list[dict]:
    return [{"id": f"m{i:06}", "content": f"Memory number {i} of Ada.", "entities": [], **more} for i in range(count)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


def counts(ran) -> tuple[int, int, int, int]:
    found = ran.json
    assert set(found) >= FIELDS
    return found["read"], found["stored"], found["already_present"], found["rejected"]


def test_a_file_is_imported_once(diptych, data):
    """The second import of a file stores nothing, ids given or not; the memories are all there, as they were given."""
    embedding = [float(i % 7) for i in range(384)]
    records = [
        {"user_id": "ada", "content": "Without an id."},
        {
            "id": "m1",
            "user_id": "ada",
            "agent_id": "a",
            "run_id": "r",
            "content": "Ada wrote to Babbage.",
            "metadata": {"year": 1843},
            "entities": [{"name": "Ada", "type": "Person"}, {"name": "Babbage", "type": "Person"}],
            "relationships": [{"source": "Ada", "type": "WROTE_TO", "target": "Babbage"}],
            "embedding": embedding,
            "created_at": "1843-07-10T12:00:00Z",
        },
    ]
    data.write_text(lines(*records))
    first = diptych("import", "data.jsonl", "--json")
    assert (first.code, counts(first)) == (0, (2, 2, 0, 0))
    second = diptych("import", "data.jsonl", "--json")
    assert (second.code, counts(second)) == (0, (2, 0, 2, 0))
    made = diptych("get", "m1", "--user", "ada", "--json").json
    assert (made["content"], made["metadata"], made["run_id"]) == ("Ada wrote to Babbage.", {"year": 1843}, "r")
    assert made["created_at"].startswith("1843-07-10T12:00:00")
    assert [entity["name"] for entity in made["entities"]] == ["Ada", "Babbage"]


def test_standard_input_and_gzip(diptych, tmp_path):
    """Lines come from standard input as well, and compressed; --user is the tenant of lines that name none."""
    ran = diptych("import", "-", "--user", "ada", "--json", stdin=lines({"content": "one"}, {"content": "two"}))
    assert (ran.code, counts(ran)) == (0, (2, 2, 0, 0))
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress(lines({"content": "two"}, {"content": "three"}).encode()))
    ran = diptych("import", "more.jsonl.gz", "-u", "ada", "--json")
    assert (ran.code, counts(ran)) == (0, (2, 1, 1, 0))


def test_a_malformed_line_stops_the_import(diptych, data):
    """The line is named by file, number and reason; what stood before is stored and said, nothing behind it is."""
    data.write_text(lines({"content": "a"}) + "\n{oops\n" + lines({"content": "b"}))
    ran = diptych("import", "data.jsonl", "--user", "ada", "--json")
    assert (ran.code, counts(ran)) == (1, (2, 1, 0, 1))
    assert "data.jsonl:3: it is not valid JSON" in ran.err
    assert len(diptych("list", "--user", "ada", "--json").json["memories"]) == 1


def test_skipped_lines_are_kept_to_be_mended(diptych, data, tmp_path):
    """Rejected lines go verbatim to a file; mended, that file is imported, and all is there."""
    bad = ['{"content": ""}', '{"content": "x", "colour": "red"}', "not json", '{"content": "c"']
    data.write_text(lines({"content": "a"}) + "\n".join(bad) + "\n" + lines({"content": "b"}))
    ran = diptych("import", "data.jsonl", "--user", "ada", "--on-error", "skip", "--json")
    assert (ran.code, counts(ran)) == (1, (6, 2, 0, 4))
    assert ran.json["rejected_files"] == ["data.rejected.jsonl"]
    assert [line for line in ran.err.splitlines() if line.startswith("data.jsonl:")][1].startswith(
        "data.jsonl:3: colour:"
    )
    kept = tmp_path / "data.rejected.jsonl"
    assert kept.read_text().splitlines() == bad
    kept.write_text(lines(*({"content": f"mended {i}"} for i in range(4))))
    ran = diptych("import", "data.rejected.jsonl", "--user", "ada", "--json")
    assert (ran.code, counts(ran)) == (0, (4, 4, 0, 0))


def test_the_file_for_rejected_lines_can_be_named(diptych, data, tmp_path):
    """--rejected names the file; an input is refused for it."""
    data.write_text("no\n")
    ran = diptych("import", "data.jsonl", "--on-error", "skip", "--rejected", "bad.txt", "--json")
    assert ran.code == 1
    assert (tmp_path / "bad.txt").read_text() == "no\n"
    ran = diptych("import", "data.jsonl", "--on-error", "skip", "--rejected", "./data.jsonl")
    assert ran.code == 2
    assert data.read_text() == "no\n"


def test_what_is_there_and_what_was_deleted(diptych, data):
    """What is there is left alone unless --update; what was deleted is stored anew unless --keep-deleted."""
    diptych("store", "old", "--id", "m1", "--user", "ada")
    data.write_text(lines({"id": "m1", "content": "new", "user_id": "ada"}))
    assert counts(diptych("import", "data.jsonl", "--json")) == (1, 0, 1, 0)
    assert diptych("get", "m1", "--user", "ada", "--json").json["content"] == "old"
    assert counts(diptych("import", "data.jsonl", "--update", "--json")) == (1, 1, 0, 0)
    assert diptych("get", "m1", "--user", "ada", "--json").json["content"] == "new"
    diptych("delete", "m1", "--user", "ada")
    assert counts(diptych("import", "data.jsonl", "--keep-deleted", "--json")) == (1, 0, 1, 0)
    assert counts(diptych("import", "data.jsonl", "--json")) == (1, 1, 0, 0)


def test_max_and_several_files(diptych, tmp_path):
    """--max ends the reading; several files are one import."""
    (tmp_path / "a.jsonl").write_text(lines(*memories(3, user_id="ada")))
    (tmp_path / "b.jsonl").write_text(lines(*memories(9, user_id="bob")))
    assert counts(diptych("import", "a.jsonl", "b.jsonl", "--max", "5", "--json")) == (5, 5, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
        (["."], "is a folder"),
        ([], "either files of JSON lines or the history"),
        (["-", "--git", "."], "either files of JSON lines or the history"),
        (["-", "--update", "--keep-deleted"], "contradict each other"),
        (["-", "--since", "2024-01-01"], "--since is for --git"),
        (["--git", "."], "is in no git repository"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence(bare, arguments, says):
    """What cannot be meant is said in a sentence, with what to try, before any store is opened."""
    ran = bare("import", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_an_interrupted_import_says_what_it_did_and_can_be_repeated(diptych, data):
    """SIGINT ends an import that waits for its input; what was read before is stored, the next run takes up there."""
    records = memories(6_000, user_id="ada")
    process = diptych.start("import", "-", "--json", "-v")
    process.stdin.write(lines(*records).encode())
    process.stdin.flush()
    _until_some_are_stored(diptych)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err.decode()
    said = json.loads(out)
    there = _count(diptych)
    assert said["stored"] == there >= 4_000
    assert not said["complete"]
    data.write_text(lines(*records))
    assert counts(diptych("import", "data.jsonl", "--json")) == (6_000, 6_000 - there, there, 0)


def _count(diptych) -> int:
    return diptych("status", "--json").json["counts"]["vector"]["value"]


def _until_some_are_stored(diptych) -> None:
    for _ in range(60):
        if (_count(diptych) or 0) >= 4_000:
            return
    raise AssertionError("nothing was stored")


def test_a_broken_pipe_of_lines_is_an_end(diptych):
    """Standard input that ends in the middle of a line is a malformed line, not a crash."""
    ran = diptych("import", "-", "--user", "ada", "--json", stdin='{"content": "a"}\n{"content": "b')
    assert (ran.code, counts(ran)) == (1, (2, 1, 0, 1))
    assert "stdin:2: it is not valid JSON" in ran.err


def test_both_stores_get_it(paired, data):
    """An import writes the graph as well, and leaves nothing in doubt."""
    data.write_text(
        lines(*memories(300, user_id="ada"), {"user_id": "ada", "content": "Ada works at Babbage & Co.", "id": "x"})
    )
    ran = paired("import", "data.jsonl", "--json")
    assert (ran.code, counts(ran), ran.json["pending"]) == (0, (301, 301, 0, 0), 0)
    status = paired("status", "--json").json
    assert status["outbox"]["pending"] == 0
    assert status["counts"]["graph"]["value"] == 301


def test_an_unreadable_file_is_one_sentence(bare, tmp_path):
    """A file that may not be read is an error about that file."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "secret.jsonl").touch(mode=0o000)
    ran = bare("import", "secret.jsonl")
    assert ran.code == 2
    assert "Permission denied" in ran.err
