"""The settings' own description."""

from __future__ import annotations

from pathlib import Path

from api.cli._settings import renewed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_reference_is_that_of_the_settings():
    """docs/reference/settings.md lists every setting there is; its module's docstring says how to renew it."""
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page
