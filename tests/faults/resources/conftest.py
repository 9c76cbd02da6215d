from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.resources import clocks
from tests.faults.resources.rooms import Room, room, say


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room | None]:
    """Return a file system of so many megabytes as the test's parameter says; None where none may be mounted."""
    with room(tmp_path / "small", getattr(request, "param", 16)) as made:
        say(request, "a tmpfs of its own" if made else "RLIMIT_FSIZE of a process of its own")
        yield made


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the shared object that makes a process go by a wrong clock."""
    folder = tmp_path_factory.mktemp("clock")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)  # a server that does not run as root must pass through
    return clocks.library(folder)
