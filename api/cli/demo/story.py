"""What the demo is told about: the repository it stands in, the corpus that ships with it, or both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from api.cli.importing.git import repository
from api.cli.importing.options import OnError, Request, repository_name
from persistence.records import Memory

#: The demo's own tenant; nothing else is touched.
TENANT = "diptych-demo"
#: A history shorter than this has little to show, and the corpus is told as well.
SHORT_HISTORY = 20
WORD = re.compile(r"[^\W\d_][\w'-]{3,}")
QUERY_WORDS = 4


@dataclass(frozen=True, slots=True)
class Story:
    """What is imported, and what is searched for in it. ``expected``: the id that has to be found, where known."""

    title: str
    requests: tuple[Request, ...]
    query: str | None = None
    expected: str | None = None


def corpus_request() -> Request:
    """Return the request for the corpus that ships with the package."""
    return _request(files_=(str(files("api.cli.demo") / "corpus.jsonl"),))


def tell(folder: Path, commits: int, enough: int) -> Story:
    """Choose: the repository that ``folder`` is in, where it has a history worth the name; else the corpus. Blocks.

    ``commits``: the newest so many; ``enough``: how many commits there are, at least up to SHORT_HISTORY.
    """
    top = repository(folder) if enough else None
    if top is None:
        return _corpus("a small corpus on the history of computing, which ships with diptych", ())
    history = _request(git=top, limit=commits)
    name = repository_name(top)
    if enough < SHORT_HISTORY:
        return _corpus(f"the short history of the git repository {name}, and a small corpus on computing", (history,))
    return Story(f"the history of the git repository {name} (its newest {commits} commits at most)", (history,))


def _corpus(title: str, before: tuple[Request, ...]) -> Story:
    return Story(title, (*before, corpus_request()), "Who wrote the first program for a machine?", "ada-notes")


def _request(*, files_: tuple[str, ...] = (), git: Path | None = None, limit: int | None = None) -> Request:
    return Request(files_, git, TENANT, OnError.STOP, limit=limit)


def choose_query(memories: Sequence[Memory]) -> str:
    """Return a few words of a memory that has much in common with others: what a person would search for."""
    shared = Counter(entity.key for memory in memories for entity in memory.entities if entity.type == "File")
    best = max(memories, key=lambda memory: (_telling(memory, shared), memory.id))
    words = WORD.findall(best.content.partition("\n")[0])
    return " ".join(sorted(words, key=len, reverse=True)[:QUERY_WORDS]) or best.content[:80]


def _telling(memory: Memory, shared: Counter[str]) -> tuple[bool, int]:
    subject = memory.content.partition("\n")[0]
    keys = [entity.key for entity in memory.entities if entity.type == "File"]
    return len(WORD.findall(subject)) in range(3, 12) and len(keys) in range(1, 9), sum(shared[key] for key in keys)
