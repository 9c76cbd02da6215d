"""What the suites of all ports share: a package that is not ours, installed for the time of a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

THIRD_PARTY = Path(__file__).parent / "thirdparty"
METADATA = "Metadata-Version: 2.1\nName: theirs-stores\nVersion: 1.0\n"
ENTRY_POINTS = """\
[diptych.vector_stores]
theirs = theirs_stores:truths

[diptych.graph_stores]
theirs = theirs_stores:graph
"""


@pytest.fixture
def theirs_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Put the package ``theirs-stores`` on the path as pip would; return the folders that a process needs for it."""
    site = tmp_path / "site-packages"
    about = site / "theirs_stores-1.0.dist-info"
    about.mkdir(parents=True)
    about.joinpath("METADATA").write_text(METADATA)
    about.joinpath("entry_points.txt").write_text(ENTRY_POINTS)
    folders = (str(site), str(THIRD_PARTY))
    for folder in folders:
        monkeypatch.syspath_prepend(folder)
    return folders


@dataclass(frozen=True)
class Place:
    """Where a backend's store is, for this process and for others: its URL, and the schema where that has a say."""

    url: str
    schema: str = "diptych"
    path: tuple[str, ...] = ()
