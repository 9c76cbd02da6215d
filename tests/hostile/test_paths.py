"""No name that somebody gives leads out of the place that it is meant for."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from persistence import AsyncPersistenceService
from persistence.errors import BackupDamagedError, PersistenceError
from persistence.text import check_text
from sync.backing import manifest as m
from sync.backing import verify
from tests.backing import backed_up
from tests.http.routes.conftest import client, graph, host, memories, truth
from tests.integration.test_backing import elsewhere
from tests.moving import fill, opened

__all__ = ["client", "graph", "host", "memories", "truth"]

WAYS_OUT = (
    "../../../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/pyproject.toml",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini", "%252e%252e%252fetc%252fpasswd", "/etc/passwd", "//etc/passwd",
    "style.css/../../assets.py",
    "vendor/htmx.LICENSE", "style.css%00.png", ".", "..", "%c0%ae%c0%ae/etc/passwd", "file:///etc/passwd",
)  # fmt: skip
FOLDERS = (
    "file:///a%00b",
    "file://host/../x",
    "file:///",
    "file:relative",
    "file://./x",
    "file:///%00",
    "file:////",
    "file:///x/..",
)


def _only(folder: Path) -> Path:
    """Return the only thing in a folder."""
    (path,) = folder.iterdir()
    return path


async def test_files_of_the_dashboard(client: httpx.AsyncClient) -> None:
    """The dashboard's address of files serves those that it names, and none by any other spelling."""
    assert (await client.get("/dashboard/static/style.css")).status_code == 200
    for way in WAYS_OUT:
        for path in (f"/dashboard/static/{way}", f"/dashboard/static/{quote(way, safe='')}", f"/{way}"):
            answer = await client.get(httpx.URL("http://localhost", raw_path=path.encode()))
            assert 400 <= answer.status_code < 500 or way in {".", ".."}, (path, answer.status_code)
            assert b"root:" not in answer.content
            assert b"[project]" not in answer.content


async def test_ids_that_look_like_paths(client: httpx.AsyncClient) -> None:
    """An id with dots, slashes and signs of percent is one memory's, and comes back as it went in."""
    for way in WAYS_OUT:
        stored = await client.post("/memories", json={"id": way, "user_id": way, "content": "c", "entities": []})
        assert stored.status_code == 201, stored.text
        path = f"/memories/{quote(way, safe='')}?user_id={quote(way, safe='')}"
        found = await client.get(httpx.URL("http://localhost", raw_path=path.encode()))
        if way in {".", ".."}:
            assert found.status_code < 500
            continue
        assert (found.status_code, found.json()["id"]) == (200, way)
        assert stored.headers["location"] == path
        other = await client.get(httpx.URL("http://localhost", raw_path=path.replace("user_id=", "user_id=x").encode()))
        assert other.status_code == 404


@pytest.mark.parametrize("url", FOLDERS)
async def test_urls_of_folders(url: str) -> None:
    """A URL of files that names no folder of this machine is refused before anything is made."""
    for given in ({"vector": url, "graph": "none://"}, {"vector": "memory://", "graph": url}):
        with pytest.raises(PersistenceError):
            async with AsyncPersistenceService.connect(**given):
                pass


@pytest.mark.parametrize("kind", ["sqlite", "qdrant", "file"])
async def test_a_folder_that_cannot_be(tmp_path: Path, kind: str) -> None:
    """A name that no file can have, and one behind a file, is an error of ours; nothing is made outside the folder."""
    (tmp_path / "in the way").write_text("x")
    for name in ("in the way/x", "x" * 300, "a%00b"):
        with pytest.raises(PersistenceError):
            async with AsyncPersistenceService.connect(f"{kind}://{tmp_path}/{quote(name, safe='/%')}", "none://"):
                pass
    assert _only(tmp_path).name == "in the way"


@pytest.mark.parametrize(
    "name", ["../heads-00000.part", "/etc/passwd", "heads-00000.part\n", "heads-00000.part/../x", ""]
)
async def test_parts_of_a_backup(tmp_path: Path, name: str) -> None:
    """A manifest names files of its own folder and no others, though its checksum is right."""
    async with opened(elsewhere) as store:
        await fill(store, 2)
        await backed_up(store, tmp_path)
    folder = _only(tmp_path)
    sealed = json.loads((folder / m.NAME).read_text())
    sealed["manifest"]["parts"][0]["name"] = name
    sealed["sha256"] = m.digest(sealed["manifest"])
    (folder / m.NAME).write_text(json.dumps(sealed))
    with pytest.raises(BackupDamagedError, match="parts"):
        await verify(folder)


def test_every_way_out_is_a_name() -> None:
    """What is tried above are names that a memory may have."""
    assert [check_text(way) for way in WAYS_OUT] == list(WAYS_OUT)
