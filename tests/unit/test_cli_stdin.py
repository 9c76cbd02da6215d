"""What is typed at a terminal."""

from __future__ import annotations

import os
import pty
import sys
import termios

import pytest

from api.cli._stdin import read_secret


@pytest.mark.parametrize(
    ("typed", "secret"),
    [(b"open sesame\n", "open sesame"), ("sésame\n".encode(), "sésame"), (b"s\xe9same\n", os.fsdecode(b"s\xe9same"))],
    ids=["ascii", "utf-8", "latin-1"],
)
async def test_a_secret_is_every_byte_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, typed: bytes, secret: str
) -> None:
    """A secret is what the environment would say of the same bytes, so two that differ are two."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "wb", buffering=0) as keyboard, os.fdopen(follower) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        keyboard.write(typed)
        assert await read_secret() == secret
        assert termios.tcgetattr(terminal)[3] & termios.ECHO
