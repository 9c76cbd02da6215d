"""From one commit to a memory draft: who wrote it, what it touched, what it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from api.cli.importing.git import Commit
from api.cli.importing.parse import Rules
from persistence.records import MemoryDraft, normalise, validated
from persistence.text import MAX_NAME

MAX_REFERENCES = 90
#: What looks like a tracker's key and is none.
STANDARDS = frozenset(
    {"AES", "ANSI", "ASCII", "BCP", "CP", "CVE", "DES", "EC", "ECMA", "EN", "GPL", "HTTP", "IEEE", "IPV", "ISO", "KOI"}
    | {"LGPL", "MD", "MPEG", "PEP", "PKCS", "RFC", "RSA", "SHA", "SSL", "TLS", "UCS", "US", "UTC", "UTF", "WIN", "X"}
)
ISSUE = re.compile(r"(?<![\w/&.-])((?:[\w.-]{1,39}/[\w.-]{1,100})?)(?:#|\bGH-)(\d{1,9})\b")
TRACKER = re.compile(r"(?<![\w/-])([A-Z][A-Z0-9]{1,9})-(\d{1,9})(?![\w-])")
REVERTED = re.compile(r"\b[Tt]his reverts commit ([0-9a-f]{40})\b")


def draft(commit: Commit, *, repository: str, rules: Rules) -> MemoryDraft:
    """Return the commit as a memory of ``rules.user_id``; the id is its hash. Raises InvalidInputError."""
    nodes = _nodes(commit)
    return validated(
        MemoryDraft,
        {
            "id": commit.hash,
            "user_id": rules.user_id,
            "content": content(commit, rules.max_content_bytes),
            "metadata": _metadata(commit, repository),
            "entities": [{"name": name, "type": kind, "properties": said} for kind, name, said in nodes],
            "relationships": [_edge(commit.hash, kind, name) for kind, name, _ in nodes[1:]],
            "created_at": _moment(commit.time),
        },
    )


def content(commit: Commit, limit: int) -> str:
    """Return the message, at most ``limit`` bytes of it; where there is none, a sentence that says so."""
    said = commit.message.strip().encode()[:limit].decode(errors="ignore")
    return said or f"Commit {commit.hash[:12]} without a message."


def references(message: str) -> list[str]:
    """Return the issues that a message names, each once, in the order of the text."""
    found = [(match.start(), f"{match[1]}#{int(match[2])}") for match in ISSUE.finditer(message)]
    keys = (match for match in TRACKER.finditer(message) if match[1] not in STANDARDS and match[1] != "GH")
    found += [(match.start(), match[0]) for match in keys]
    return list(dict.fromkeys(name for _, name in sorted(found)))[:MAX_REFERENCES]


def _nodes(commit: Commit) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (type, name, what is said of it), the commit itself first."""
    nodes = [("Commit", commit.hash, {"subject": _cut(commit.message.strip().partition("\n")[0])})]
    author = commit.author.strip() or commit.email.strip()
    if normalise(author):
        nodes.append(("Person", _cut(author), {"email": _cut(commit.email)}))
    nodes += [("File", name, {}) for name in _file_names(commit)]
    nodes += [("Issue", name, {}) for name in references(commit.message)]
    nodes += [("Commit", name, {}) for name in REVERTED.findall(commit.message)[:1] if name != commit.hash]
    return nodes


def _file_names(commit: Commit) -> Iterator[str]:
    return (_cut(name) for name in commit.files if normalise(name))


def _edge(commit: str, kind: str, name: str) -> dict[str, str]:
    if kind == "Person":
        ends = {"source": name, "source_type": kind, "target": commit, "target_type": "Commit"}
    else:
        ends = {"source": commit, "source_type": "Commit", "target": name, "target_type": kind}
    return {**ends, "type": {"Person": "AUTHORED", "File": "TOUCHED"}.get(kind, "REFERS_TO")}


def _metadata(commit: Commit, repository: str) -> dict[str, Any]:
    return {
        "source": "git",
        "repository": repository,
        "author": commit.author,
        "parents": len(commit.parents),
        "files": commit.touched,
    }


def _moment(seconds: int) -> datetime | None:
    """Return None for the times that broken clocks gave commits and no calendar holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _cut(name: str) -> str:
    """Keep the end of a name that is too long: of a path it tells more than the beginning."""
    return name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"
