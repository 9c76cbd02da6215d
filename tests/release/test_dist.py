"""What is built: a wheel and an sdist, with all of ours and nothing beside it; and what `make dist` does with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.release.conftest import EPOCH, ROOT, build

PACKAGES = ("persistence", "sync", "api")
#: What is in the sdist beside the packages: what a build needs, and what somebody reads who opens it.
BESIDE = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", ".gitignore"}


def files_of(root: Path) -> set[str]:
    """Return the files of the packages in a tree, as they are named in an archive."""
    found = (path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in found if "__pycache__" not in path.parts}


def in_wheel(built: Path) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return set(archive.namelist())


def in_sdist(built: Path) -> set[str]:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def described(built: Path):
    """Return the wheel's metadata."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_has_the_packages_and_nothing_else(built, project):
    """Each file of the packages is in the wheel, SQL, templates and pom.xml with them; no test, no cache, no other."""
    about = f"diptych-{project['project']['version']}.dist-info"
    described_in = {
        f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    assert in_wheel(built) == files_of(ROOT) | described_in
    kinds = {Path(name).suffix for name in in_wheel(built)}
    assert {".sql", ".cypher", ".html", ".css", ".js", ".svg", ".txt", ".jsonl", ".xml", ".java"} <= kinds


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(built, package):
    """PEP 561's marker is in each package, so that the types are used where the wheel is."""
    assert f"{package}/py.typed" in in_wheel(built)


def test_the_sdist_has_what_a_build_needs_and_nothing_else(built):
    """The sdist is the packages, what builds them and what is read first: no tests, no pages of other folders."""
    assert in_sdist(built) == files_of(ROOT) | BESIDE


def test_the_metadata_are_those_of_the_project(built, project):
    """Name, version, Python, licence and every extra are what pyproject.toml says."""
    said, wanted = described(built), project["project"]
    assert (said["Name"], said["Version"]) == (wanted["name"], wanted["version"])
    assert (said["Requires-Python"], said["License-Expression"]) == (wanted["requires-python"], wanted["license"])
    assert set(said.get_all("Provides-Extra")) == set(wanted["optional-dependencies"])
    assert said.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_all_is_every_extra(project):
    """`diptych[all]` names each extra there is but itself."""
    extras = project["project"]["optional-dependencies"]
    named = re.fullmatch(r"diptych\[(.+)]", extras["all"][0])
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all"}


def test_two_builds_give_the_same_bytes(built, tmp_path):
    """A build of a copy elsewhere, by another umask and with other times, is the same file, byte by byte."""
    copy = tmp_path / "elsewhere"
    for name in in_sdist(built) - {"PKG-INFO"}:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
        (copy / name).chmod(0o600)
    build(copy, tmp_path / "dist", umask=0o077, env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    for made in (tmp_path / "dist").iterdir():
        assert made.read_bytes() == (built / made.name).read_bytes(), made.name


# --- make dist, and the list of what it stands on ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which `make dist` has put what it makes, once it has found no fault with it."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(
        ["make", "dist", f"DIST={folder}"], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def bill(dist: Path) -> str:
    """Return the list."""
    return next(dist.glob("*.cdx.json")).read_text(encoding="utf-8")


@pytest.mark.long
def test_make_dist_makes_what_is_released(dist, built, project):
    """`make dist` makes the sdist and the wheel that any build makes, checked by twine and check-wheel-contents."""
    made = {path.name: path.read_bytes() for path in dist.iterdir()}
    assert made.keys() == {path.name for path in built.iterdir()} | {
        f"diptych-{project['project']['version']}.cdx.json"
    }
    for path in built.iterdir():
        assert made[path.name] == path.read_bytes()


@pytest.mark.long
def test_the_bill_is_cyclonedx(bill, project):
    """The SBOM is valid by CycloneDX's strict schema, and is about this version."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    about = json.loads(bill)["metadata"]["component"]
    assert (about["name"], about["version"]) == ("diptych", project["project"]["version"])


@pytest.mark.long
def test_the_bill_is_that_of_the_lock(bill, project):
    """It lists what an installation with all extras brings, as locked, hashes included, and no tool of development."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = dict(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", "\n".join(lines)))
    listed = json.loads(bill)["components"]
    versions = {component["name"]: component["version"] for component in listed}
    assert versions.items() <= locked.items()
    assert {"pydantic", "psycopg", "neo4j", "qdrant-client", "fastapi", "mcp", "cryptography"} <= versions.keys()
    assert not {"pytest", "ruff", "mypy", "twine", "hypothesis"} & versions.keys()
    for component in listed:
        assert any(reference.get("hashes") for reference in component["externalReferences"]), component["name"]
