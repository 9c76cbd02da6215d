"""What is recognised by its spelling alone: e-mail addresses, URLs, paths, @mentions, #tags, issue numbers.

Every repetition is bounded or possessive, and nothing begins in the middle of a word: the time is linear in the
length of the text, whatever it holds. Groups are repeated in atomic groups, as in ``names``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from persistence.extraction.lexicon import lexicon

EMAIL = r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}+@(?:[A-Za-z0-9-]{1,63}+\.){1,8}[A-Za-z]{2,24}+(?![\w-])"

#: Stands in the text where a mark was.
GAP = "\n"

_MAYBE = re.compile(r"[@#/\\]|\.\w|-\d")
_MARKS = re.compile(
    rf"""
      (?P<Url>     \b https?:// [^\s<>"'`|\\^{{}}]{{1,2048}}+ )
    | (?P<Email>   (?<![\w.%+-]) {EMAIL} )
    | (?P<Ticket>  (?<![\w-]) [A-Z][A-Z0-9]{{1,9}}+-\d{{1,7}}+ (?![\w-]) )
    | (?P<Issue>   (?<![\w\#&/]) \#\d{{1,9}}+ (?!\w) )
    | (?P<Tag>     (?<![\w\#&/]) \#[^\W\d_][\w-]{{0,99}}+ (?!\w) )
    | (?P<Mention> (?<![\w@/.]) @[A-Za-z0-9_][A-Za-z0-9_-]{{0,38}}+ (?![\w(@/]|\.\w) )
    | (?P<Path>    (?<![\w/\\.~@:-]) (?>(?:[A-Za-z]:\\|~/|\.{{1,2}}/|/)?) [\w.@+-]{{1,255}}+
                   (?>(?:[/\\][\w.@+-]{{1,255}}+){{1,64}}) /?+ )
    | (?P<Name>    (?<![\w/\\.~@:-]) [\w+-]{{1,100}}+ (?>(?:\.[\w+-]{{1,100}}+){{1,4}}) )
    """,
    re.VERBOSE,
)

_TRAILING = ".,;:!?'\""
_BRACKETS = {")": "(", "]": "["}
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
_NO_TRACKERS = lexicon("not_trackers")
_FILES = lexicon("file_extensions")
#: Extensions that products carry in their names (Node.js), where the name is capitalised.
_PRODUCTS = frozenset({"js", "cs", "go", "ts"})


def take_marks(text: str, take: Callable[[str, str], object]) -> str:
    """Call ``take(type, name)`` for each mark of the text; return the text with a gap in the place of each."""
    if not _MAYBE.search(text):
        return text

    def replace(match: re.Match[str]) -> str:
        kind, found = match.lastgroup or "", match[0]
        name = _READERS[kind](found)
        if name is None:
            return found
        take(_TYPES.get(kind, kind), name)
        return GAP + found[len(name) :] if found.startswith(name) else GAP

    return _MARKS.sub(replace, text)


def _url(found: str) -> str | None:
    """Leave out what belongs to the sentence: its full stop, and a bracket that was opened before the URL."""
    while found and (found[-1] in _TRAILING or _unmatched(found)):
        found = found[:-1]
    return found if len(found) > len("https://") else None


def _unmatched(found: str) -> bool:
    opening = _BRACKETS.get(found[-1])
    return opening is not None and found.count(found[-1]) > found.count(opening)


def _ticket(found: str) -> str | None:
    return None if found.partition("-")[0] in _NO_TRACKERS else found


def _path(found: str) -> str | None:
    """Take what begins as a path and has two parts at least, and what ends in a file's extension."""
    name = found.rstrip(".")
    rooted = name[0] in "/~." or name[1:3] == ":\\"
    folders = [part for part in re.split(r"[/\\]", name) if part.strip(".~")]
    if not folders or not (_EXTENSION.search(name) or (rooted and len(folders) > 1)):
        return None
    return name


def _file(found: str) -> str | None:
    extension = found.rpartition(".")[2]
    known = extension in _FILES and not (extension in _PRODUCTS and found[0].isupper())
    return found if known else None


def _as_is(found: str) -> str | None:
    return found


_READERS: dict[str, Callable[[str], str | None]] = {
    "Url": _url,
    "Email": _as_is,
    "Ticket": _ticket,
    "Issue": _as_is,
    "Tag": _as_is,
    "Mention": _as_is,
    "Path": _path,
    "Name": _file,
}
_TYPES = {"Ticket": "Issue", "Path": "File", "Name": "File"}
