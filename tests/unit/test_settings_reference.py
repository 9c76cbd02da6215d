"""The settings' own description."""

from __future__ import annotations

import re
from pathlib import Path

from api.cli._settings import renewed

ROOT = Path(__file__).parents[2]
PAGE, EXAMPLE = ROOT / "docs" / "reference" / "settings.md", ROOT / "deploy" / "env.production.example"
_VARIABLE = re.compile(r"DIPTYCH_[A-Z0-9]+(?:_[A-Z0-9]+)*(?![A-Z0-9_{])", re.ASCII)


def test_the_reference_is_that_of_the_settings():
    """docs/reference/settings.md lists every setting there is; its module's docstring says how to renew it."""
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page


def test_no_variable_is_left_out():
    """Each variable that the code names is in the reference or, where it is Compose's, in the example."""
    known = set(_VARIABLE.findall(PAGE.read_text(encoding="utf-8") + EXAMPLE.read_text(encoding="utf-8")))
    code = [path for package in ("persistence", "sync", "api") for path in (ROOT / package).rglob("*.py")]
    named = {name for path in code for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert named - known == set()
    assert "DIPTYCH_BACKUP_PASSPHRASE" in named
