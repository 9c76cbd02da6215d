"""Secrets that were planted in this run of the tests, and the look for them in everything that a test lets out.

Fixtures plant what they make: passwords of servers, keys. After each part of each test its captured log, stdout and
stderr are looked through; what the installed command prints, and the metrics' page, are looked through where tests read
them. What shows fails the test that let it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: One shorter might be a word.
SHORTEST = 12
_SECRETS: dict[str, str] = {}


def plant(secret: str | None, what: str) -> str | None:
    """Have a secret looked for from now on; ``what`` is what a failing test calls it. Return the secret."""
    if secret is not None and len(secret) >= SHORTEST:
        _SECRETS[secret] = what
    return secret


def shown(texts: Iterable[str]) -> list[str]:
    """Return what the secrets are called that stand in one of the texts."""
    every = "\n".join(texts)
    return sorted({what for secret, what in _SECRETS.items() if secret in every})


def check(*texts: str) -> None:
    """Fail where a secret stands in one of the texts, without repeating it."""
    found = shown(texts)
    assert not found, f"this shows {', '.join(found)}"


def judge(report: Any) -> None:
    """Fail the report of a test whose captured output holds a secret; the output goes, so that it is not printed."""
    found = shown(text for _, text in report.sections)
    if found:
        report.sections = []
        report.outcome = "failed"
        report.longrepr = f"What was logged or printed in {report.when} shows {', '.join(found)}."
