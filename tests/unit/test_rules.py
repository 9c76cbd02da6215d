"""The offline extractor: what it recognises, what it leaves alone, and that no text makes it slow."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.extraction import marks, names
from persistence.extraction.rules import PIECE, _extract
from persistence.records import MAX_ENTITIES, MemoryDraft, validated


def entities(text: str) -> list[tuple[str, str]]:
    return [(entity.type, entity.name) for entity in _extract(text).entities]


def of(kind: str, text: str) -> list[str]:
    return [name for found, name in entities(text) if found == kind]


def statements(text: str) -> list[tuple[str, str, str]]:
    return [(r.source, r.type, r.target) for r in _extract(text).relationships]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada Lovelace wrote the first program.", ["Ada Lovelace"]),
        ("Yesterday Ada Lovelace met Charles Babbage's friends.", ["Ada Lovelace", "Charles Babbage"]),
        ("We saw Dr. Müller and Professor Ludwig van Beethoven.", ["Müller", "Ludwig van Beethoven"]),
        ("J. R. R. Tolkien, Jean-Luc O'Neill", ["J. R. R. Tolkien", "Jean-Luc O'Neill"]),
        ("Иван Петров и Άννα Παππά", ["Иван Петров", "Άννα Παππά"]),
        ("Ada works here. Fix the Parser. Release Notes", []),
        ("New York, San Francisco, the United States, Monday Morning", []),
        ("NASA HQ and HTTP Server and Win32 Api", []),
        ("who works where?", []),
    ],
)
def test_people(text, names):
    """Two capitalised words or a title make a person; the beginning of a sentence, a place or a heading does not."""
    assert of("Person", text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Acme Inc. and Acme, Inc. are one", ["Acme Inc"]),
        ("Babbage & Co. bought Johnson & Johnson", ["Babbage & Co", "Johnson & Johnson"]),
        ("Müller GmbH, Stanford University", ["Müller GmbH", "Stanford University"]),
        ("the University of Cambridge", ["University of Cambridge"]),
        ("She works at IBM", ["IBM"]),
        ("He is employed by the Royal Mint", ["Royal Mint"]),
        ("The Company is big. A University. She works at Company", []),
    ],
)
def test_organisations(text, names):
    """A suffix, an institution's word or "works at" make an organisation."""
    assert of("Organization", text) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada works at Babbage & Co.", [("Ada", "WORKS_AT", "Babbage & Co")]),
        ("Ada Lovelace is working for IBM now", [("Ada Lovelace", "WORKS_AT", "IBM")]),
        ("Ada founded Acme Labs", [("Ada", "FOUNDED", "Acme Labs")]),
        ("Ada knows Charles Babbage", [("Ada", "KNOWS", "Charles Babbage")]),
        ("Ask Ada Lovelace <ada@example.org>", [("Ada Lovelace", "HAS_EMAIL", "ada@example.org")]),
        ("She works at IBM", []),
        ("Ada does not work at IBM", []),
        ("Ada knows nothing", []),
        ("It works at night", []),
    ],
)
def test_statements(text, expected):
    """Only plain statements about named people are taken."""
    assert statements(text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "names"),
    [
        ("Email", "ada@example.org, <B.C+d@x-y.co.uk>. a@b @c.de x@y.z1", ["ada@example.org", "B.C+d@x-y.co.uk"]),
        ("Url", "see https://example.org/a_(b)?q=1. Or (http://x.org/y), http://", None),
        ("File", "src/main.py:12, /etc/hosts, ~/x/y.txt, ./a/b C:\\dir\\f.txt README.md", None),
        ("File", "and/or, 1/2, Node.js, e.g. this, 3.11.7, example.com, /help, //", []),
        ("Mention", "@ada and (@bob-1), not a@b.org, @pytest.fixture, @scope/pkg, @", ["@ada", "@bob-1"]),
        ("Tag", "#travel #Über-uns, not C#, a#b, &#39; or https://x.org/#part", ["#travel", "#Über-uns"]),
        ("Issue", "#123, GH-45 and ABC-9; not UTF-8, SHA-256, a#1, #12x, A-1, X-ABC-9", ["#123", "GH-45", "ABC-9"]),
    ],
)
def test_marks(kind, text, names):
    """What is recognised by its spelling, and what only looks like it."""
    expected = {
        "Url": ["https://example.org/a_(b)?q=1", "http://x.org/y"],
        "File": ["src/main.py", "/etc/hosts", "~/x/y.txt", "./a/b", "C:\\dir\\f.txt", "README.md"],
    }
    assert of(kind, text) == (expected[kind] if names is None else names)


def test_an_address_is_not_also_something_else():
    """A part of a mark is not a mark of its own."""
    assert entities("https://example.org/ada@x.org/README.md#top ada.b@x.org") == [
        ("Url", "https://example.org/ada@x.org/README.md#top"),
        ("Email", "ada.b@x.org"),
    ]


def test_a_name_is_listed_once_by_its_first_spelling():
    """Spellings of one key are one entity."""
    assert entities("#Travel #travel #TRAVEL") == [("Tag", "#Travel")]


def test_names_that_a_record_would_refuse_are_dropped():
    """A URL of 2,000 characters is no name."""
    assert entities("https://example.org/" + "a" * 1_000 + " #tag") == [("Tag", "#tag")]


def test_long_texts_are_searched_to_their_end():
    """A text longer than a piece is cut at a space, not through a name."""
    text = "Ada Lovelace said so. " * (3 * PIECE // 20) + "#end"
    assert set(entities(text)) == {("Person", "Ada Lovelace"), ("Tag", "#end")}


@given(
    st.text(st.sampled_from("Aab1 .@#/-\\&<>('\u2019,:~_\u00c9\u6771\n\ud800\0"), max_size=200) | st.text(max_size=200)
)
def test_whatever_the_text_the_result_can_be_stored(text):
    """Any text gives entities and relationships that make a valid memory."""
    found = _extract(text)
    data = {"user_id": "u", "content": "c", "entities": found.entities, "relationships": found.relationships}
    assert validated(MemoryDraft, data).relationships == found.relationships


HOSTILE = [
    *("a", "A ", "a.", "/", "a/", "@", "a@", "#a", "A-", "A'", "Aa & ", "A. ", "http://", "a@a.", "1-", "AA-1"),
    *("Aa van ", "University of ", "Dr. ", "Ada works at ", "Aa <a@", "()", "\\", "-", ".", " ", ".a", "b.", "Ada "),
]


@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_takes_long(part):
    """Time is linear: a quarter of a mebibyte of the same over and over takes no more than seconds of this thread."""
    text = "a@" * (part == "b.") + part * (2**18 // len(part))
    before = time.thread_time()
    found = _extract(text)
    assert time.thread_time() - before < 5
    assert len(found.entities) <= MAX_ENTITIES


def test_no_mixture_takes_long():
    """The same for a random mixture of all that the rules look for."""
    mix = random.Random(11)
    text = "".join(mix.choice([*HOSTILE, "@", "works at ", "\n", "<", ">", "Inc"]) for _ in range(2**17))
    before = time.thread_time()
    _extract(text)
    assert time.thread_time() - before < 10


PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": found.pattern
    for module in (marks, names)
    for name, found in vars(module).items()
    if isinstance(found, re.Pattern)
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_group_is_repeated_possessively(pattern):
    """Python before 3.11.5 (Debian 12) repeats them wrongly (python/cpython#106052), and would find other names."""
    assert not re.search(r"\)(?:[?*+]|\{[^}]*\})\+", pattern)
