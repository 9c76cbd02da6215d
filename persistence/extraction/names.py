"""People and organisations, recognised by capitals and by the words around them: English in the main.

A capital alone is no evidence, since every sentence begins with one: a person has two capitalised words, a title, an
e-mail address beside the name, or a verb such as "works at". A name that is only probable is left out.

Groups are repeated in atomic groups, not possessively: before 3.11.5 Python kept the start of a repetition that failed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from persistence.extraction.lexicon import lexicon
from persistence.extraction.marks import EMAIL

# Upper case of the Latin, Greek and Cyrillic scripts; ``re`` has no class for it.
_UPPER = "".join(chr(code) for code in range(0x41, 0x530) if chr(code).isupper())
_BEFORE = r"(?<![\w'\u2019.@#/&-])"
_CAPITALISED = rf"[{_UPPER}](?>(?:[^\W_]|['\u2019-](?=[^\W\d_]))*)"
_INITIAL = rf"[{_UPPER}]\.(?= )"
_PARTICLE = rf"(?:van|von|de|da|di|du|la|le|bin|al|der|den|del)(?= (?:[{_UPPER}]|der |den |la ))"
_PART = rf"(?:{_INITIAL}|{_CAPITALISED})"
_PERSON = rf"{_PART}(?>(?: (?:{_PART}|{_PARTICLE})){{0,5}})"
_TITLE = r"(?:Mr|Mrs|Ms|Dr|Prof|Professor|Sir|Dame|Lady|Lord|Herr|Frau|Mme|Captain|President|Judge)\.?"
_HEAD = r"(?:University|Institute|Academy|College|School|Bank|Museum|Ministry|Department|Bureau|Church|Society)"
_JOINER = r"(?: & |, (?=(?:Inc|Ltd|LLC|GmbH|Corp)\b)| )"
_ORGANISATION = (
    rf"(?:{_HEAD} (?:of|for) (?:the )?{_CAPITALISED}(?>(?: {_CAPITALISED}){{0,3}})"
    rf"|{_CAPITALISED}(?>(?:{_JOINER}{_CAPITALISED}){{0,7}}))"
)

_SEQUENCE = re.compile(
    rf"{_BEFORE}(?:{_TITLE} (?P<titled>{_PERSON})"
    rf"|(?P<headed>{_HEAD} (?:of|for) (?:the )?{_CAPITALISED}(?>(?: {_CAPITALISED}){{0,3}}))"
    rf"|(?P<joined>{_PART}(?>(?:(?:{_JOINER}(?:{_PART}))|(?: {_PARTICLE})){{1,12}})))"
)
_ADDRESSED = re.compile(rf"{_BEFORE}(?P<person>{_PERSON}) ?[<(](?P<email>{EMAIL})[>)]")
_VERB = re.compile(r" (?:work(?:s|ed|ing)|employed|founded|knows) ")
_STATED = re.compile(
    rf"{_BEFORE}(?P<person>{_PERSON})(?>(?: (?:now|also|once))?) "
    rf"(?:(?:(?P<works>works|worked|is working|was working) (?:at|for)|(?P<employed>is employed|was employed) (?:at|by)"
    rf"|(?P<founded>founded)) (?>(?:the )?)(?P<organisation>{_ORGANISATION})"
    rf"|(?P<knows>knows) (?P<other>{_PERSON}))"
)
_RELATIONS = {"works": "WORKS_AT", "employed": "WORKS_AT", "founded": "FOUNDED", "knows": "KNOWS"}

_SUFFIXES = lexicon("organisation_suffixes")
_NO_NAMES = lexicon("not_names")
#: What may stand within a name's word, to be left out.
_WITHIN = str.maketrans("", "", "'\u2019-")
MAX_WORDS = 4


class Statement(NamedTuple):
    """That a person stands in a relation to something; ``person`` is None where only a pronoun said who."""

    person: str | None
    relation: str
    kind: str
    other: str


def statements(text: str, original: str) -> list[Statement]:
    """Return what is stated of people in ``text`` (the original, with gaps in the place of its marks)."""
    return [*_addresses(original), *_stated(text)]


def names(text: str) -> list[tuple[str, str]]:
    """Return the type and the name of each person and organisation that needs no statement to be recognised."""
    return [named for match in _SEQUENCE.finditer(text) if (named := _classified(match))]


def _addresses(text: str) -> list[Statement]:
    if "@" not in text:
        return []
    found = ((_person(match["person"], 1), match["email"]) for match in _ADDRESSED.finditer(text))
    return [Statement(person, "HAS_EMAIL", "Email", email) for person, email in found if person]


def _stated(text: str) -> list[Statement]:
    if not _VERB.search(text):
        return []
    return [statement for match in _STATED.finditer(text) if (statement := _statement(match))]


def _statement(match: re.Match[str]) -> Statement | None:
    person = _person(match["person"], 1)
    relation = next(kind for group, kind in _RELATIONS.items() if match[group])
    if relation == "KNOWS":
        other = _person(match["other"], 1)
        return Statement(person, relation, "Person", other) if person and other else None
    organisation = _organisation(match["organisation"])
    return Statement(person, relation, "Organization", organisation) if organisation else None


def _classified(match: re.Match[str]) -> tuple[str, str] | None:
    if titled := match["titled"]:
        person = _person(titled, 1)
        return ("Person", person) if person else None
    if headed := match["headed"]:
        return "Organization", _plain(headed)
    joined = match["joined"]
    if _is_organisation(joined):
        organisation = _organisation(joined)
        return ("Organization", organisation) if organisation else None
    person = _person(joined, 2)
    return ("Person", person) if person else None


def _is_organisation(name: str) -> bool:
    return " & " in name or any(word in _SUFFIXES for word in name.replace(",", "").split()[1:])


def _organisation(name: str) -> str | None:
    words = _stripped(_plain(name).replace(",", "").split())
    named = any(word not in _SUFFIXES for word in words)
    return " ".join(words) if named and len(words) <= MAX_WORDS * 2 else None


def _person(name: str, least: int) -> str | None:
    """Return a person's name without what stands around it; None where it does not look like one."""
    words = _stripped(_plain(name).split())
    if not least <= len(words) <= MAX_WORDS or any(word.casefold() in _NO_NAMES for word in words):
        return None
    return " ".join(words) if all(_is_personal(word) for word in words) else None


def _is_personal(word: str) -> bool:
    """Tell Ada, J. and van from NASA and Win32."""
    letters = word.translate(_WITHIN)
    return word.endswith(".") or (letters.isalpha() and not letters.isupper())


def _stripped(words: list[str]) -> list[str]:
    start, stop = 0, len(words)
    while start < stop and words[start].casefold() in _NO_NAMES:
        start += 1
    return words[start:stop]


def _plain(name: str) -> str:
    """Leave out the possessive: Ada's is Ada."""
    return name.removesuffix("'s").removesuffix("\u2019s")
