"""The reference pages that are made from the code: ``python -m tests.docs.made`` writes them anew.

What stands above the marker in a page is written by hand, and stays.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.docs.blocks import ROOT
from tests.docs.made import errors, operations, python_api

MARKER = "<!-- from here on made by `python -m tests.docs.made` -->\n"
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/errors.md": errors.text,
    "docs/reference/http-operations.md": operations.text,
    "docs/reference/python.md": python_api.text,
}


def renewed(page: str) -> str:
    """Return the page with what is behind the marker made from the code as it is now."""
    head, marker, _ = (ROOT / page).read_text("utf-8").partition(MARKER)
    assert marker, f"{page} has no line {MARKER.strip()}"
    return f"{head}{marker}\n{PAGES[page]().strip()}\n"
