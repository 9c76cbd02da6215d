"""`store`, `get`, `list`, `search`, `related`, `delete` on real stores, by their output and exit codes."""

from __future__ import annotations

import re
import signal
import subprocess

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
MEMORY_FIELDS = {
    "id", "user_id", "agent_id", "run_id", "content", "metadata", "entities", "relationships", "extracted", "version",
    "digest", "created_at", "updated_at",
}  # fmt: skip
ADA = ("store", "Ada works at Babbage & Co.", "--user", "u1", "--id", "m1", "--entity", "Ada:Person")


def stored(command, *args, **kwargs):
    ran = command("store", *args, "--json", **kwargs)
    assert ran.code == 0, ran.err
    return ran.json


def test_a_memory_goes_into_both_stores_and_comes_back(paired, graph):
    """What `store` is given is in truth and in the graph, and `get`, `search` and `related` find it."""
    done = stored(
        paired, *ADA[1:], "--entity", "Babbage & Co.:Organization", "--relation", "Ada:WORKS_AT:Babbage & Co.",
        "--metadata", '{"topic": "work"}',
    )  # fmt: skip
    assert (done["status"], done["outcome"], done["graph"]) == ("stored", "in_step", "ok")

    got = paired("get", "m1", "--user", "u1", "--json")
    assert got.code == 0
    assert set(got.json) == MEMORY_FIELDS
    assert got.json["metadata"] == {"topic": "work"}
    assert got.json["version"] == done["version"]
    assert RFC3339.fullmatch(got.json["created_at"])

    found = graph.execute_query("MATCH (a {user_id: 'u1'})-[:WORKS_AT]->(b) RETURN a.name, b.name").records
    assert [tuple(row.values()) for row in found] == [("Ada", "Babbage & Co.")]

    stored(paired, "Ada drew the plan.", "--user", "u1", "--id", "m2", "--entity", "ada:Person")
    hits = paired("search", "who works at Babbage?", "--user", "u1", "--limit", "1", "--expand", "1", "--json").json
    assert [(hit["memory"]["id"], hit["distance"]) for hit in hits["hits"]] == [("m1", 0), ("m2", 1)]
    assert hits["degraded"] is None
    near = paired("related", "m1", "--user", "u1")
    assert "m2" in near.out
    assert "Person" in near.out


def test_a_memory_is_shown_for_people(diptych):
    """`get`, `list` and `search` print text, entities and scores; the content cannot drive the terminal."""
    stored(diptych, "Ada [bold]met\n\x1b[31mCharles.", "--user", "u1", "--id", "m1", "--entity", "Ada:Person")
    got = diptych("get", "m1", "-u", "u1")
    assert "Ada [bold]met\n\\x1b[31mCharles." in got.out
    assert "entities:      Ada (Person)" in got.out
    listed = diptych("list", "-u", "u1")
    assert re.fullmatch(r"m1  \S+Z  Ada \[bold\]met \\x1b\[31mCharles\.\n", listed.out)
    found = diptych("search", "Charles", "-u", "u1")
    assert re.match(r" 0\.\d{3}  m1\n", found.out)
    assert "Ada (Person)" in found.out


def test_content_is_read_from_stdin(diptych):
    """`store -` takes the whole of stdin, its last line feed apart, and finds entities in it."""
    memory = stored(diptych, "-", "--user", "u1", stdin="See https://example.org/a\nand write to ada@example.org\n")
    assert memory["memory"]["content"] == "See https://example.org/a\nand write to ada@example.org"
    assert memory["memory"]["extracted"] is True
    assert "ada@example.org" in [entity["name"] for entity in memory["memory"]["entities"]]


def test_names_may_hold_colons(diptych):
    """An entity is split at its last colon, and a relation where both ends are the names of entities."""
    memory = stored(
        diptych, "x", "--user", "u1", "--entity", "https://example.org:Url", "--entity", "Ada:Person",
        "--relation", "Ada:WROTE:https://example.org",
    )["memory"]  # fmt: skip
    assert [entity["name"] for entity in memory["entities"]] == ["https://example.org", "Ada"]
    relation = memory["relationships"][0]
    assert (relation["source"], relation["type"], relation["target"]) == ("Ada", "WROTE", "https://example.org")


def test_a_repeated_call_succeeds_and_says_so(diptych):
    """The same idempotency key stores once, a second delete finds nothing to do, and neither is an error."""
    call = ("Ada wrote to ada@example.org", "--user", "u1", "--idempotency-key", "k1", "--no-extract")
    first, second = stored(diptych, *call), stored(diptych, *call)
    assert (first["status"], second["status"]) == ("stored", "already_stored")
    assert first["id"] == second["id"]
    assert second["memory"]["entities"] == []
    deletes = [diptych("delete", first["id"], "--user", "u1", "--json") for _ in range(2)]
    assert [ran.json["status"] for ran in deletes] == ["deleted", "already_deleted"]
    assert [ran.code for ran in deletes] == [0, 0]
    never = diptych("delete", "never", "--user", "u1")
    assert (never.code, never.out) == (0, "already absent\n")


def test_an_absent_memory_is_trouble(diptych):
    """`get` of a memory that another tenant has exits with 2, prints no data, and says what to try."""
    stored(diptych, "x", "--user", "u1", "--id", "m1")
    ran = diptych("get", "m1", "--user", "u2", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "Error: There is no memory 'm1' of 'u2'.\nTry: diptych list --user u2\n"


def test_lists_come_in_pages_or_as_a_stream(diptych):
    """`--after` goes on where a page ended; `--all --json` gives one memory a line; filters apply to both."""
    lines = "".join(f'{{"id": "m{n}", "user_id": "u1", "content": "c", "metadata": {{"n": {n}}}}}\n' for n in range(5))
    assert diptych("import", "-", stdin=lines).code == 0
    first = diptych("list", "--user", "u1", "--limit", "2", "--json").json
    assert ([memory["id"] for memory in first["memories"]], first["next"]) == (["m0", "m1"], "m1")
    second = diptych("list", "--user", "u1", "--limit", "3", "--after", first["next"], "--json").json
    assert ([memory["id"] for memory in second["memories"]], second["next"]) == (["m2", "m3", "m4"], None)
    few = diptych("list", "--user", "u1", "--all", "--json", "--filter", '{"n": {"gte": 3}}')
    assert [memory["id"] for memory in few.lines] == ["m3", "m4"]


def test_deleting_everything_needs_a_yes(diptych):
    """`delete --all` without a terminal and without --yes deletes nothing; with it, that tenant's memories only."""
    lines = "".join(f'{{"id": "m1", "user_id": "{user}", "content": "c"}}\n' for user in ("u1", "u2"))
    assert diptych("import", "-", stdin=lines).code == 0
    refused = diptych("delete", "--all", "--user", "u1")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    done = diptych("delete", "--all", "--user", "u1", "--yes", "--json")
    assert (done.json["status"], done.json["deleted"]) == ("deleted", 1)
    again = diptych("delete", "--all", "--user", "u1", "--yes", "--json")
    assert (again.code, again.json["status"]) == (0, "already_deleted")
    assert diptych("get", "m1", "--user", "u2").code == 0


def test_a_delete_of_an_unexpected_version_is_refused(diptych):
    """`delete --expected-version` deletes nothing where the memory is at another version."""
    version = stored(diptych, "x", "--user", "u1", "--id", "m1")["version"]
    refused = diptych("delete", "m1", "--user", "u1", "--expected-version", str(version - 1))
    assert refused.code == 2
    assert str(version) in refused.err


def test_a_reader_that_leaves_ends_the_command_quietly(diptych):
    """A closed pipe is no error to talk about: exit 141, as of a process that died of SIGPIPE."""
    lines = "".join(f'{{"id": "m{n}", "user_id": "u1", "content": "{"c" * 4000}"}}\n' for n in range(100))
    assert diptych("import", "-", stdin=lines).code == 0
    process = diptych.start("list", "--user", "u1", "--all", "--json")
    assert process.stdout is not None
    assert process.stdout.read(10) == b'{"id": "m0'
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()
    process.stdin.close()


def test_an_interrupt_ends_the_command_cleanly(diptych):
    """SIGINT while `store -` waits for stdin: exit 130, one word, no traceback, nothing stored."""
    process = diptych.start("store", "-", "--user", "u1")
    with process:
        wait_until_it_reads(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"Interrupted.\n"
    assert diptych("list", "--user", "u1").out == ""


def wait_until_it_reads(process: subprocess.Popen[bytes]) -> None:
    """Give more than a pipe holds: the write ends when the command has begun to read."""
    process.stdin.write(b"x" * 1_000_000)
    process.stdin.flush()
