"""A backend of somebody else's, found by its entry points (docs/how-to/add-a-backend.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from persistence import AsyncPersistenceService
from persistence.backends import vector_backend
from persistence.errors import ConfigurationError
from persistence.ports.schema import Phase
from persistence.results import Outcome
from persistence.settings import PersistenceConfig


@pytest.mark.usefixtures("theirs_installed")
async def test_a_service_on_their_stores() -> None:
    """An installed package's scheme is a URL like any other: stored, found, in step, healthy."""
    async with AsyncPersistenceService.connect(vector="theirs://one", graph="theirs://one") as memories:
        ada = {"name": "Ada", "type": "Person"}
        stored = await memories.store("Ada writes", user_id="u", entities=[ada], relationships=[])
        other = await memories.store("Ada reads", user_id="u", entities=[ada], relationships=[])
        assert (stored.outcome, other.outcome) == (Outcome.IN_STEP, Outcome.IN_STEP)
        assert [hit.memory.id for hit in await memories.related(stored.id, user_id="u")] == [other.id]
        health = await memories.get_health()
        assert (health.vector.kind, health.vector.version, health.graph.kind) == ("theirs", "theirs 1.0", "theirs")


@pytest.mark.usefixtures("theirs_installed")
async def test_their_schema() -> None:
    """A store of somebody else's sees to its schema itself: there is none of ours, and none is needed."""
    backend = vector_backend("theirs://one")
    state = await (await backend.schema("theirs://one", PersistenceConfig())).state()
    assert (state.version, state.usable) == (0, True)
    assert await (await backend.schema("theirs://one", PersistenceConfig())).apply((Phase.PRE,)) == ()


async def test_not_installed() -> None:
    """Without the package its scheme is nobody's, and what there is instead is said."""
    with pytest.raises(ConfigurationError, match="theirs://one names no vector store") as caught:
        vector_backend("theirs://one")
    assert "postgresql://" in caught.value.hint


async def test_a_package_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an entry point leads nowhere, the package is named."""
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    about.joinpath("entry_points.txt").write_text("[diptych.vector_stores]\nbroken = nowhere_at_all:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="broken:// of broken cannot be loaded"):
        await vector_backend("broken://").make("broken://", PersistenceConfig())
