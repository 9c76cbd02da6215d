"""The filter language: what it takes and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from persistence.errors import InvalidInputError
from persistence.filters import MAX_CONDITIONS, Condition, Filter, Op, make_filter


def test_nothing_given_is_the_empty_filter():
    """Without conditions every memory of the tenant passes."""
    assert make_filter() == Filter()
    assert make_filter().empty
    assert make_filter(filters={}).empty
    assert not make_filter(agent_id="a").empty
    assert not make_filter(run_id="r").empty


def test_a_plain_value_is_equality():
    """The short form compares for equality, at a dotted path."""
    assert make_filter(filters={"trip.year": 2020}).conditions == (Condition(("trip", "year"), Op.EQ, 2020),)


def test_operators_stand_side_by_side():
    """Several operators on one path are several conditions; all must hold."""
    given = make_filter("a", "r", {"year": {"gte": 2020, "lt": 2030}, "tags": {"contains": "x"}, "b": None})
    assert (given.agent_id, given.run_id) == ("a", "r")
    assert given.conditions == (
        Condition(("year",), Op.GTE, 2020),
        Condition(("year",), Op.LT, 2030),
        Condition(("tags",), Op.CONTAINS, "x"),
        Condition(("b",), Op.EQ, None),
    )


@pytest.mark.parametrize(
    "wanted",
    [
        {"eq": True},
        {"ne": None},
        {"in": ["open", 1, None, False]},
        {"gt": 1},
        {"lte": 1.5},
        {"gte": "2020"},
        {"exists": False},
        {"contains": 3},
        "x",
        -1.5,
        False,
    ],
)
def test_every_operator_takes_its_values(wanted):
    """Each operator takes the values that it can compare with."""
    assert len(make_filter(filters={"p": wanted}).conditions) == 1


@pytest.mark.parametrize(
    ("filters", "field", "allowed"),
    [
        ({"a": {"like": "x"}}, "filters.a", "operators are eq"),
        ({"a": {}}, "filters.a", "operator"),
        ({"a": {"in": []}}, "filters.a", "not an empty one"),
        ({"a": {"in": "x"}}, "filters.a", "takes a list"),
        ({"a": {"in": [[1]]}}, "filters.a", "takes a list"),
        ({"a": {"gt": True}}, "filters.a", "text or a number"),
        ({"a": {"lt": None}}, "filters.a", "text or a number"),
        ({"a": {"gte": [1]}}, "filters.a", "text or a number"),
        ({"a": {"exists": 1}}, "filters.a", "true or false"),
        ({"a": {"contains": [1]}}, "filters.a", "takes a text"),
        ({"a": [1]}, "filters.a", "takes a text"),
        ({"a": {"eq": {"b": 1}}}, "filters.a", "takes a text"),
        ({"a..b": 1}, "filters", "single dots"),
        ({".a": 1}, "filters", "single dots"),
        ({"": 1}, "filters", "1 to 255"),
        ({"a\0": 1}, "filters", "NUL"),
        ({"a": "\ud800"}, "filters", "surrogate"),
        ({"a": float("nan")}, "filters", "finite"),
        ({"a": 2**63}, "filters", "64 bit"),
        ({"a": {"in": [{1}]}}, "filters", "JSON"),
        ({str(i): i for i in range(MAX_CONDITIONS + 1)}, "filters", "at most 32"),
    ],
)
def test_bad_filters_are_refused(filters, field, allowed):
    """A filter that no store could answer is refused with its path and what would do."""
    with pytest.raises(InvalidInputError) as caught:
        make_filter(filters=filters)
    assert caught.value.field == field
    assert allowed in caught.value.allowed


@pytest.mark.parametrize("name", ["agent_id", "run_id"])
@pytest.mark.parametrize("value", ["", "x" * 256, "\0", 3])
def test_bad_ids_are_refused(name, value):
    """An agent or a run is a name like others."""
    with pytest.raises(InvalidInputError) as caught:
        make_filter(**{name: value})
    assert caught.value.field == name


def test_a_zoned_datetime_is_compared_as_text():
    """Metadata holds datetimes as RFC 3339 text, so a filter compares with that."""
    given = make_filter(filters={"at": {"gte": datetime(2024, 1, 1, tzinfo=UTC)}})
    assert given.conditions[0].value == "2024-01-01T00:00:00+00:00"
