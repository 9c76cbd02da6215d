"""The values that every backend can hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from persistence.text import MAX_DEPTH, check_json, check_text
from tests.unit.strategies import METADATA


@given(METADATA)
def test_json_passes_as_it_is(value):
    """What is JSON comes back equal, as plain dicts and lists."""
    assert check_json(value) == value


@given(st.text())
def test_text_passes_where_utf8_and_postgres_hold_it(text):
    """A text passes exactly where it can be encoded and has no NUL."""
    try:
        fine = b"\0" not in text.encode()
    except UnicodeEncodeError:
        fine = False
    if fine:
        assert check_text(text) == text
    else:
        with pytest.raises(PydanticCustomError):
            check_text(text)


@pytest.mark.parametrize("mapping", [OrderedDict(a=1), MappingProxyType({"a": 1})])
def test_any_mapping_is_an_object(mapping: Mapping[str, int]):
    """A mapping of any class becomes a dict, also inside."""
    assert check_json({"m": mapping}) == {"m": {"a": 1}}
    assert type(check_json({"m": mapping})["m"]) is dict


def test_the_result_is_a_copy():
    """What the caller changes afterwards is not in the record."""
    inner = [1]
    checked = check_json({"a": inner})
    inner.append(2)
    assert checked == {"a": [1]}


def test_tuples_are_lists():
    """JSON has one kind of sequence."""
    assert check_json((1, (2,))) == [1, [2]]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.7e308, -0.0, 5e-324])
def test_numbers_at_the_edge_pass(number):
    """The whole range of 64-bit integers and of floats is allowed."""
    assert check_json(number) == number


class Level(int):
    """An int by another name."""


def test_numbers_of_other_classes_become_plain():
    """An enum or a subclass of int is stored as the number that it is, and takes no longer than one."""
    assert type(check_json(Level(3))) is int
    with pytest.raises(PydanticCustomError, match="64 bit"):
        check_json(Level(2**63))
    assert check_json(True) is True  # a value like others


def test_depth_is_bounded():
    """Values may be nested so deep that no recursion overflows."""
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert check_json(value) == value
    with pytest.raises(PydanticCustomError, match="nested"):
        check_json([value])


@pytest.mark.parametrize("value", [object(), 1j, b"x", {1}, range(3), iter([])])
def test_what_is_not_json_is_refused_by_its_type(value):
    """The message names the type at fault."""
    with pytest.raises(PydanticCustomError, match=type(value).__name__):
        check_json(value)
