"""Entities and relations as they are typed on a command line."""

from __future__ import annotations

import pytest

from api.cli._parse import entity, moment, relation
from persistence.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("Ada:Person", "Ada", "Person"),
        ("https://example.org:8080/a:Url", "https://example.org:8080/a", "Url"),
        (" Ada : Person ", "Ada", "Person"),
        ('{"name": "a:b", "type": "c:d"}', "a:b", "c:d"),
    ],
)
def test_an_entity(text, name, kind):
    """NAME:TYPE is cut at the last colon; a JSON object says it in full."""
    found = entity(text)
    assert (found.name, found.type) == (name, kind)


@pytest.mark.parametrize("text", ["", "Ada", ":Person", "Ada:", "{", "[1]", '{"name": "Ada"}', "Ada:MENTIONS"])
def test_no_entity(text):
    """What is no entity is refused with what is allowed."""
    with pytest.raises(InvalidInputError):
        entity(text)


ENTITIES = [entity(text) for text in ("Ada:Person", "http://x:1:Url", "a:Letter", "b:Letter", "a:b:Letter")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Ada:WROTE:http://x:1", ("Ada", "WROTE", "http://x:1")),
        ("http://x:1:BY:ada", ("http://x:1", "BY", "ada")),
        ("Ada:IS:OF:http://x:1", ("Ada", "IS:OF", "http://x:1")),
        ('{"source": "a", "type": "T", "target": "a:b"}', ("a", "T", "a:b")),
    ],
)
def test_a_relation(text, parts):
    """SOURCE:TYPE:TARGET is cut where both ends are names of entities, colons or not."""
    found = relation(text, ENTITIES)
    assert (found.source, found.type, found.target) == parts


@pytest.mark.parametrize("text", ["", "Ada:KNOWS", "Ada:KNOWS:Grace", "a:b:T:a", "::"])
def test_no_relation(text):
    """An end that is no entity, and a text that can be read in two ways, are refused."""
    with pytest.raises(InvalidInputError):
        relation(text, ENTITIES)


def test_a_moment_needs_its_zone():
    """A time without a zone could be anywhere, so it is refused."""
    assert moment("--created-at", "2026-01-31T12:00:00Z") is not None
    for text in ("2026-01-31T12:00:00", "yesterday", ""):
        with pytest.raises(InvalidInputError):
            moment("--created-at", text)
