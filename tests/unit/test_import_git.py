"""From a git log to commits, and from a commit to a memory draft."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.importing import git
from api.cli.importing.commits import content, draft, references
from api.cli.importing.git import MAX_FILES, Commit, fields, parse_log
from api.cli.importing.parse import Rules
from persistence.text import MAX_NAME

TOKEN = b"0123456789abcdef"
RULES = Rules(user_id="u", max_content_bytes=1_000)
HASH = "a" * 40


def commit(**given_fields) -> Commit:
    base = {"hash": HASH, "time": 1_700_000_000, "author": "Ada", "email": "ada@example.org", "parents": ("b" * 40,)}
    return Commit(**{**base, "message": "Fix #12\n\nMore.", **given_fields})


def log(*commits: tuple[str, list[bytes]]) -> bytes:
    """Return what git prints: each commit begins with NUL, token, NUL; names follow a line feed."""
    out = b""
    for message, files in commits:
        values = [HASH.encode(), b"1700000000", b"Ada", b"ada@example.org", b"", message.encode()]
        out += b"\0" + TOKEN + b"\0" + b"\0".join(values) + b"\0"
        out += (b"\n" + b"\0".join(files) + b"\0") if files else b""
    return out


def parsed(raw: bytes) -> list[Commit]:
    return list(parse_log(fields(io.BufferedReader(io.BytesIO(raw))), TOKEN))


def test_commits_with_and_without_files_are_told_apart():
    """A commit without files, one with an empty message and one with strange names all arrive."""
    found = parsed(log(("one\n", [b"a b", b"line\nfeed"]), ("", []), ("three", ["ü".encode(), b"\xff"])))
    assert [(c.message, c.files) for c in found] == [
        ("one\n", ["a b", "line\nfeed"]),
        ("", []),
        ("three", ["ü", "\ufffd"]),
    ]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
            st.lists(st.binary(min_size=1, max_size=8).filter(lambda b: b"\0" not in b), max_size=4),
        ),
        max_size=5,
    ),
    st.integers(1, 40),
)
def test_a_log_is_read_the_same_however_it_is_cut(commits, size):
    """The size of the chunks in which git's output arrives changes nothing."""
    raw = log(*commits)

    class Trickle(io.BytesIO):
        def read1(self, _size: int = -1) -> bytes:
            return super().read1(size)

    assert list(parse_log(fields(Trickle(raw)), TOKEN)) == parsed(raw)
    assert [c.touched for c in parsed(raw)] == [len(files) for _, files in commits]


def test_a_torso_of_a_commit_is_dropped():
    """What a git that died left half-written makes no memory."""
    raw = log(("one", []), ("two", []))
    assert [c.message for c in parsed(raw[: raw.rindex(b"Ada")])] == ["one"]


def test_memory_is_bounded_by_what_is_kept_of_a_field(monkeypatch):
    """A message longer than the limit is cut while it is read."""
    monkeypatch.setattr(git, "MAX_FIELD", 10)
    monkeypatch.setattr(git, "BUFFER", 16)
    assert list(fields(io.BufferedReader(io.BytesIO(b"a" * 100 + b"\0b")))) == [b"a" * 10, b"b"]


def test_a_commit_becomes_a_memory():
    """Author, files and issues are entities of the memory, tied to the commit; the id is the hash."""
    made = draft(commit(files=["src/a.py"], touched=1), repository="engine", rules=RULES)
    assert made.id == HASH
    assert made.content == "Fix #12\n\nMore."
    assert made.created_at.timestamp() == 1_700_000_000
    assert made.metadata == {"source": "git", "repository": "engine", "author": "Ada", "parents": 1, "files": 1}
    assert [(e.type, e.name) for e in made.entities] == [
        ("Commit", HASH),
        ("Person", "Ada"),
        ("File", "src/a.py"),
        ("Issue", "#12"),
    ]
    assert [(r.source, r.type, r.target) for r in made.relationships] == [
        ("Ada", "AUTHORED", HASH),
        (HASH, "TOUCHED", "src/a.py"),
        (HASH, "REFERS_TO", "#12"),
    ]


def test_a_file_with_the_authors_name_is_another_entity():
    """Entities of several types may share a name."""
    made = draft(commit(files=["ada", "Ada", "#12"], touched=3), repository="r", rules=RULES)
    assert len(made.relationships) == 5


@pytest.mark.parametrize(
    "odd",
    [
        {"author": "", "email": ""},
        {"author": "  "},
        {"author": "x" * 300, "email": "y" * 300},
        {"message": ""},
        {"message": "é" * 5_000},
        {"time": 10**18},
        {"time": -(10**12)},
        {"files": ["\u3000", "d/" * 200 + "f"], "touched": 2},
        {
            "files": [f"f{i}" for i in range(MAX_FILES)],
            "touched": 10**6,
            "message": " ".join(f"#{i}" for i in range(500)),
        },
        {"message": f"Revert\n\nThis reverts commit {HASH}."},
    ],
)
def test_odd_commits_are_memories_too(odd):
    """Empty names, broken clocks, huge commits: a history is imported whole."""
    made = draft(commit(**odd), repository="r", rules=RULES)
    assert made.content
    assert len(made.content.encode()) <= 1_000
    assert all(len(e.name) <= MAX_NAME for e in made.entities)


def test_a_message_is_cut_between_characters():
    """The content stays UTF-8 where it is cut."""
    assert content(commit(message="éé"), 3) == "é"


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("Fix #12, #013 and (#12)", ["#12", "#13"]),
        ("See ada/engine#7 and GH-8", ["ada/engine#7", "#8"]),
        ("ENG-42: use UTF-8 and SHA-256 as RFC-2119 says", ["ENG-42"]),
        ("&#39; a#1 colour #fff x/#2 http://host/page#3 #4abc", []),
        ("", []),
    ],
)
def test_issue_references(message, found):
    """What a tracker would link is an issue; entities, anchors, colours and names of standards are none."""
    assert references(message) == found


@pytest.mark.parametrize("hostile", ["a." * 500_000, "#" * 1_000_000, "A-" * 500_000, "a/" * 500_000, "-" * 1_000_000])
@pytest.mark.timeout(10)
def test_hostile_messages_take_linear_time(hostile):
    """A message of a mebibyte made to hurt is read in moments."""
    assert references(hostile) == []
