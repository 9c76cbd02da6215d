"""The changelog and the version: one place for the version, and every version with its section."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.release.changelog import fault, sections
from tests.release.conftest import ROOT
from tests.release.tag import refused

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
NEW = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- All of it.\n"
OUT = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-01\n\n- More.\n\n## [0.1.0] - 2026-01-01\n\n- All.\n"


def test_the_changelog_is_that_of_the_version(project):
    """What is not released is what the project's version will have; each version that is out has its section."""
    assert fault(CHANGELOG, project["project"]["version"]) is None


def test_the_changelog_has_the_form():
    """The form is Keep a Changelog's: each kind of change once in a section, by its own word, with a list below it."""
    assert "https://keepachangelog.com/en/1.1.0/" in CHANGELOG
    for section in sections(CHANGELOG):
        kinds = re.findall(r"^### (.+)$", section.text, re.MULTILINE)
        assert set(kinds) <= KINDS
        assert len(kinds) == len(set(kinds))
        assert all(re.match(r"\s*- ", part) for part in re.split(r"^### .+$", section.text, flags=re.MULTILINE)[1:])


@pytest.mark.parametrize(
    ("text", "version", "says"),
    [
        pytest.param(NEW, "0.1.0", None, id="before the first"),
        pytest.param(OUT, "0.2.0", None, id="just released"),
        pytest.param(OUT.replace("ed]\n", "ed]\n\n- A.\n"), "0.3.0", None, id="under way"),
        pytest.param(OUT.replace("ed]\n", "ed]\n\n- A.\n"), "0.2.0", "raise the project's version", id="not raised"),
        pytest.param(OUT, "0.3.0", "Nothing is written of 0.3.0", id="nothing written"),
        pytest.param(OUT, "0.1.0", "an older one", id="older"),
        pytest.param(OUT.replace(" - 2026-02-01", ""), "0.2.0", "no date", id="no date"),
        pytest.param(OUT.replace("0.2.0", "0.0.9"), "0.1.0", "not in order", id="order"),
        pytest.param(OUT.replace("Unreleased", "0.3.0"), "0.3.0", "first section", id="no place for what comes"),
    ],
)
def test_what_is_wrong_with_a_changelog(text, version, says):
    """Each way in which a changelog and a version may not fit is found, and said."""
    found = fault(text, version)
    assert (found is None) if says is None else says in str(found)


@pytest.mark.parametrize(
    ("tag", "changelog", "says"),
    [
        pytest.param("v0.2.0", OUT, None, id="the version's"),
        pytest.param("v0.1.0", OUT, "is not v0.2.0", id="another version's"),
        pytest.param("0.2.0", OUT, "is not v0.2.0", id="without v"),
        pytest.param("v0.2.0", OUT.replace("0.2.0", "0.1.9"), "0.2.0 has no section", id="no section"),
    ],
)
def test_which_tag_is_released(tag, changelog, says):
    """A tag is released that is the version's, and in the changelog; any other is refused, with the reason."""
    found = refused(tag, "0.2.0", changelog)
    assert (found is None) if says is None else says in str(found)


def test_make_refuses_a_wrong_tag():
    """`make dist-tag` fails, and says why."""
    done = subprocess.run(["make", "dist-tag", "TAG=v99"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "The tag 'v99' is not v" in done.stderr


def test_the_version_stands_in_one_place(project):
    """No module repeats the version: what needs it asks for the installed one's."""
    version = project["project"]["version"]
    for package in ("persistence", "sync", "api"):
        for file in (ROOT / package).rglob("*.py"):
            assert f'"{version}"' not in file.read_text(encoding="utf-8"), file
