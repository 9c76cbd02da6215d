"""Secrets are kept out of everything that the command line prints."""

from __future__ import annotations

import pytest

from api.masking import Masker, mask_url


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hunter2@h/db",
        "could not connect to neo4j://ada:hunter2@h:7687/neo4j, giving up",
        "postgresql://ada:hunter2@[::1/db",
        "postgresql://ada:hunter2@h@/x/db",
        "postgresql:///db?user=ada&password=hunter2&x=1",
        "host=h password=hunter2 dbname=d",
        "host=h password='hunter2' dbname=d",
        "api_key: hunter2",
    ],
)
def test_a_secret_is_masked_by_its_place(text):
    """A password in a URL, right or wrong, or behind its name is masked without being known."""
    masked = mask_url(text)
    assert "hunter2" not in masked
    assert "***" in masked


@pytest.mark.parametrize("text", ["", "neo4j://h:7687/neo4j", "no secret: none", "12:30 ada@example.org"])
def test_what_holds_no_secret_stays(text):
    """Text without a password is printed as it is."""
    assert mask_url(text) == text


def test_known_secrets_are_masked_anywhere():
    """The passwords of flags and environment are masked wherever they stand, as written and as meant."""
    mask = Masker(
        ["postgresql://ada:p%40ss%2Fword@h/db", None],
        {"NEO4J_PASSWORD": "swordfish", "DATABASE_URL": "postgresql://x:opensesame@h", "PATH": "/usr/bin"}
        | {"DIPTYCH_SYNC_WEBHOOK_URL": "https://hooks.example/T0/abcdef"},
    )
    said = mask("p@ss/word p%40ss%2Fword swordfish opensesame https://hooks.example/T0/abcdef /usr/bin")
    assert said == "*** *** *** *** *** /usr/bin"
