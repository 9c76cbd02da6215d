"""The settings of the server: from the environment, and refused by a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.http import ApiConfig
from api.http.caller import is_loopback
from api.http.serving import listen
from persistence.errors import ConfigurationError


def test_the_environment_and_what_is_given(monkeypatch: pytest.MonkeyPatch):
    """What is given comes before the environment, and None counts as not given; made by hand, nothing is read."""
    for name, value in [("PORT", "1234"), ("HOST", "::1"), ("KEYS_FILE", "/k.json"), ("READ_ONLY", "true")]:
        monkeypatch.setenv(f"DIPTYCH_API_{name}", value)
    monkeypatch.setenv("DIPTYCH_API_CORS_ORIGINS", "https://a.example, http://b.example:81,")
    config = ApiConfig.load(port=0, host=None)
    assert (config.port, config.host, config.read_only, config.keys_file) == (0, "::1", True, Path("/k.json"))
    assert config.cors_origins == ("https://a.example", "http://b.example:81")
    assert ApiConfig().port == 8765


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "70000"),
        ("RATE_LIMIT", "often"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("CORS_ORIGINS", "a.example"),
        ("ROOT_PATH", "diptych/"),
        ("REQUEST_TIMEOUT", "0"),
        ("MAX_BODY_BYTES", "-1"),
        ("JWT_JWKS_COOLDOWN", "nan"),
    ],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    """A setting that is wrong is refused by a sentence that names it."""
    monkeypatch.setenv(f"DIPTYCH_API_{name}", value)
    with pytest.raises(ConfigurationError, match=rf"^The setting {name.lower()}\S* is wrong: "):
        ApiConfig.load()


async def test_an_address_that_is_none():
    """A name that leads nowhere is a sentence."""
    with pytest.raises(ConfigurationError, match="none of this machine's"):
        await listen("no.such.host.invalid", 0, may=is_loopback)
