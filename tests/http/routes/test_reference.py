"""docs/reference/http.md names every route, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.http.routes.test_openapi import operations

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"


def test_the_page_names_every_route():
    """The table of routes is that of the OpenAPI document."""
    named = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted((path, method.lower()) for method, path in named) == sorted(operations())
