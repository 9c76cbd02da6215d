"""From a line to a memory draft."""

import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.importing.lines import Line
from api.cli.importing.parse import LineError, Rules, derived_id, parse
from persistence.errors import InvalidInputError

RULES = Rules(user_id="u", max_content_bytes=1_000, dimension=3)


def line(raw: bytes | str | dict, number: int = 7) -> Line:
    if isinstance(raw, dict):
        raw = json.dumps(raw)
    return Line("f.jsonl", number, raw.encode() if isinstance(raw, str) else raw)


def test_a_whole_line_becomes_a_draft():
    """Every field of the format arrives."""
    given_line = {
        "id": "m1",
        "user_id": "ada",
        "agent_id": "a",
        "run_id": "r",
        "content": "Ada wrote to Babbage.",
        "metadata": {"year": 1843},
        "entities": [{"name": "Ada", "type": "Person"}, {"name": "Babbage", "type": "Person"}],
        "relationships": [{"source": "Ada", "type": "WROTE_TO", "target": "Babbage", "properties": {"year": 1843}}],
        "embedding": [1, 0, 0.5],
        "created_at": "1843-07-10T12:00:00Z",
    }
    made = parse(line(given_line), RULES).model_dump(mode="json", exclude_none=True)
    assert {key: made[key] for key in given_line if key not in ("entities", "relationships")} == {
        key: value for key, value in given_line.items() if key not in ("entities", "relationships")
    }
    assert [entity["name"] for entity in made["entities"]] == ["Ada", "Babbage"]
    assert made["relationships"][0]["properties"] == {"year": 1843}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("{", "not valid JSON"),
        ('{"content": "a"} {"content": "b"}', "not valid JSON"),
        ("[1]", "a list, not a JSON object"),
        ("null", "null, not a JSON object"),
        ("12", "a number, not a JSON object"),
        ('{"content": NaN}', "NaN is not JSON"),
        ('{"content": "a", "content": "b"}', "the key 'content' stands in it twice"),
        ('{"content": "a", "metadata": {"k": 1, "k": 2}}', "the key 'k' stands in it twice"),
        ('{"metadata": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"content": "a", "metadata": {"n": ' + "9" * 5_000 + "}}", "too many digits"),
        (b'{"content": "\xff"}', r"not UTF-8 \(byte 0xff at position 14\)"),
    ],
)
def test_a_line_that_is_no_json_object_is_rejected_with_the_reason(raw, reason):
    """What is not one JSON object in UTF-8 is refused in words that say what it is."""
    with pytest.raises(LineError, match=reason):
        parse(line(raw), RULES)


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("content", {"content": ""}),
        ("content", {}),
        ("content", {"content": "é" * 501}),
        ("content", {"content": "a\x00b"}),
        ("content", {"content": "\ud800"}),
        ("colour", {"content": "a", "colour": "red"}),
        ("id", {"content": "a", "id": ""}),
        ("user_id", {"content": "a", "user_id": "u" * 256}),
        ("embedding", {"content": "a", "embedding": [1, 2]}),
        ("embedding", {"content": "a", "embedding": [0, 0, 0]}),
        ("created_at", {"content": "a", "created_at": "2024-01-01T00:00:00"}),
        ("metadata", {"content": "a", "metadata": {"n": 2**63}}),
        ("relationships[0].source", {"content": "a", "relationships": [{"source": "A", "type": "T", "target": "B"}]}),
    ],
)
def test_a_field_that_is_not_allowed_is_named(field, data):
    """A field at fault is named as everywhere else in the product."""
    with pytest.raises(InvalidInputError) as raised:
        parse(line(data), RULES)
    assert raised.value.field == field


def test_a_tenant_is_needed():
    """A line without user_id takes the default, and is refused where there is none."""
    assert parse(line({"content": "a"}), RULES).user_id == "u"
    assert parse(line({"content": "a", "user_id": None}), RULES).user_id == "u"
    assert parse(line({"content": "a", "user_id": "ada"}), RULES).user_id == "ada"
    with pytest.raises(LineError, match="user_id is missing"):
        parse(line({"content": "a"}), Rules(None, 1_000))


def test_a_field_that_is_missing_is_asked_for():
    """Of a line without content it is said that content has to be given, not what the line has instead."""
    with pytest.raises(InvalidInputError, match=r"^content: None is not allowed; it has to be given\.$"):
        parse(line({"text": "a"}), RULES)


def test_a_byte_order_mark_is_passed_over_in_the_first_line_only():
    """Editors that put a mark before the first line do not spoil it; elsewhere it is no JSON."""
    marked = b'\xef\xbb\xbf{"content": "a"}'
    assert parse(line(marked, number=1), RULES).content == "a"
    with pytest.raises(LineError):
        parse(line(marked, number=2), RULES)


def test_utf16_is_called_by_its_name():
    """A file saved in UTF-16 is recognised as such."""
    with pytest.raises(LineError, match="UTF-16"):
        parse(line('{"content": "a"}'.encode("utf-16"), number=1), RULES)


def test_a_spilled_line_is_rejected_for_its_length():
    """A line that was too long to be held is rejected with the limit."""
    with pytest.raises(LineError, match="longer than 16 MiB"):
        parse(Line("f", 1, b"", io.BytesIO()), RULES)


def test_a_derived_id_depends_on_what_the_line_says_and_not_on_how():
    """The order of keys, white space and an embedding change nothing; a word, a tenant or a date do."""
    base = parse(line('{"content": "a", "metadata": {"x": 1, "y": 2}}'), RULES).id
    same = parse(line('{ "metadata": {"y": 2, "x": 1},"content": "a", "embedding": [1, 2, 3]}'), RULES).id
    assert base == same
    others = [
        {"content": "b", "metadata": {"x": 1, "y": 2}},
        {"content": "a", "metadata": {"x": 1}},
        {"content": "a", "metadata": {"x": 1, "y": 2}, "user_id": "v"},
        {"content": "a", "metadata": {"x": 1, "y": 2}, "created_at": "2024-01-01T00:00:00Z"},
    ]
    ids = {parse(line(other), RULES).id for other in others}
    assert len(ids | {base}) == 5


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False))))
def test_a_derived_id_is_always_a_valid_id(data):
    """Whatever a line says, what is derived from it is short ASCII and the same each time."""
    made = derived_id(data)
    assert made == derived_id(dict(reversed(data.items())))
    assert made.isascii()
    assert len(made) == len("line-") + 32


@given(st.binary(max_size=200))
def test_any_bytes_are_a_draft_or_a_reason(raw):
    """No line, whatever it holds, ends the import in any other way."""
    with suppress(LineError, InvalidInputError):
        assert parse(line(raw), RULES).id
