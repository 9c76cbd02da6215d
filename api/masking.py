"""Keeps passwords out of everything that is printed, whoever wrote the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from persistence.secretfiles import present

MASK = "***"
_SHORTEST = 3
#: Ends of variables' names; the address of a webhook is its key.
_NAMES = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_KEY", "WEBHOOK_URL")
#: Of those that may hold a password.
_URLS = ("_URL", "_URI")
_PASSWORD = re.compile(r"://[^/@:]*:(.*)@")
_WORD = re.compile(r"\S+")
#: Up to the password; a scheme's length is bounded, so that a long word is not looked through from each of its letters.
_USER = re.compile(r"[a-zA-Z][\w+.-]{0,31}://[^\s/@:]*:")
_PARAMETER = re.compile(
    r"(?P<start>\b(?:password|passwd|sslpassword|api_key|token)\s*[=:]\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE
)


def _may_be_secret(name: str) -> bool:
    return name.endswith((*_NAMES, *_URLS))


def mask_url(url: str) -> str:
    """Return ``url`` with its password hidden."""
    return _PARAMETER.sub(rf"\g<start>{MASK}", _without_passwords(url))


def _without_passwords(text: str) -> str:
    return _WORD.sub(_without_password, text) if "@" in text and "://" in text else text


def _without_password(word: re.Match[str]) -> str:
    """Hide what stands between the first URL's user and the last ``@`` of a word: a password may hold anything."""
    text = word[0]
    end = text.rfind("@")
    found = _USER.search(text, 0, max(end, 0))
    return text if found is None else f"{text[: found.end()]}{MASK}{text[end:]}"


def secrets_of_url(url: str) -> set[str]:
    """Return a URL's passwords, as they are written there and as they are meant. The URL need not be a right one."""
    found = {match[1] for match in _PASSWORD.finditer(url)} | {match[2] for match in _PARAMETER.finditer(url)}
    return {form for password in found for form in (password, unquote(password))} - {""}


class Masker:
    """Replaces the secrets that this process was given; one too short to tell from a word, only inside a URL."""

    def __init__(self, urls: Iterable[str | None], environment: Mapping[str, str]) -> None:
        """Collect what must not be printed: passwords of ``urls``, and of ``environment`` by the variables' names.

        What is in the files that its variables name counts as the variables' own.
        """
        found: set[str] = set()
        for url in urls:
            found |= secrets_of_url(url or "")
        for name, value in (*environment.items(), *present(environment, _may_be_secret)):
            found |= secrets_of_url(value) if "://" in value else set()
            found |= {value} if name.upper().endswith(_NAMES) else set()
        self._secrets = sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return ``text`` without secrets."""
        text = mask_url(text)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text
