"""`diptych import --git`: a repository's history on real stores."""

import os
import subprocess
from pathlib import Path

import pytest


class Repository:
    """A git repository with commits made for the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", ".")

    def git(self, *arguments: str, **environment: str) -> str:
        identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**os.environ, **identity, **environment},
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def commit(self, message: str, *files: str, author: str = "Ada", when: int = 1_700_000_000) -> str:
        for name in files:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{message} {when}")
        self.git("add", ".")
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", author), ("EMAIL", f"{author.lower()}@example.org"), ("DATE", f"{when} +0200"))
        }
        self.git("commit", "-q", "--allow-empty", "--allow-empty-message", "-m", message, **who)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "engine")


def test_a_history_becomes_memories(diptych, repository):
    """One memory a commit: message, time, author, files and issues; the tenant is named after the repository."""
    first = repository.commit("Begin the engine\n\nSee #12.", "mill.py", "store/a b.py")
    repository.commit("", author="Babbage")
    last = repository.commit(
        "Mend the mill\n\nFixes GH-13", "mill.py", "ünïcode\nname", author="Babbage", when=1_700_000_100
    )
    ran = diptych("import", "--git", "engine", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["read"], ran.json["stored"]) == (3, 3)
    made = diptych("get", first, "--user", "engine", "--json").json
    assert made["content"] == "Begin the engine\n\nSee #12."
    assert made["created_at"].startswith("2023-11-14T22:13:20")
    assert {(e["type"], e["name"]) for e in made["entities"]} == {
        ("Commit", first),
        ("Person", "Ada"),
        ("File", "mill.py"),
        ("File", "store/a b.py"),
        ("Issue", "#12"),
    }
    assert {(r["source"], r["type"], r["target"]) for r in made["relationships"]} == {
        ("Ada", "AUTHORED", first),
        (first, "TOUCHED", "mill.py"),
        (first, "TOUCHED", "store/a b.py"),
        (first, "REFERS_TO", "#12"),
    }
    assert "ünïcode\nname" in {e["name"] for e in diptych("get", last, "--user", "engine", "--json").json["entities"]}


def test_a_history_is_imported_once_and_grows(diptych, repository):
    """A second run stores the new commits only."""
    repository.commit("one", "a")
    assert diptych("import", "--git", "engine", "--user", "u", "--json").json["stored"] == 1
    repository.commit("two", "a", when=1_700_000_500)
    ran = diptych("import", "--git", "engine", "--user", "u", "--json").json
    assert (ran["stored"], ran["already_present"]) == (1, 1)


def test_max_and_since(diptych, repository):
    """--max takes the newest so many, --since those after a date."""
    for day in range(4):
        repository.commit(f"day {day}", "a", when=1_700_000_000 + day * 86_400)
    assert diptych("import", "--git", "engine", "--max", "3", "--json").json["read"] == 3
    assert diptych("import", "--git", "engine", "--since", "2023-11-16T00:00:00Z", "--json").json["read"] == 2


def test_a_repository_without_commits_is_an_empty_import(diptych, repository):
    """There is nothing to import, and that is no error."""
    ran = diptych("import", "--git", "engine", "--json")
    assert (ran.code, ran.json["read"]) == (0, 0)


def test_a_repositorys_own_configuration_runs_nothing(diptych, repository, tmp_path):
    """Importing somebody's repository runs no program that its configuration names."""
    repository.commit("one", "a.txt")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "gpg.program", "core.pager", "pager.log"):
        repository.git("config", name, str(trap))
    repository.git("config", "log.showSignature", "true")
    assert diptych("import", "--git", "engine", "--json").json["stored"] == 1
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_history_is_trouble(diptych, repository):
    """Where git fails half-way, what was read is stored, and the exit code tells that it was not all."""
    lost = repository.commit("one", "a")
    repository.commit("two", "b")
    (repository.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    ran = diptych("import", "--git", "engine")
    assert ran.code == 2
    assert "git could not read the history" in ran.err
    assert "Traceback" not in ran.err


def test_the_graph_joins_commits_by_what_they_touch(paired, repository):
    """From one commit the graph leads to the others that touch its files."""
    first = repository.commit("Begin the engine", "mill.py")
    second = repository.commit("Mend the mill", "mill.py", author="Babbage", when=1_700_000_100)
    repository.commit("Water the garden", "garden.py", author="Clement", when=1_700_000_200)
    assert paired("import", "--git", "engine", "--json").json["pending"] == 0
    hits = paired("search", "Begin the engine", "--user", "engine", "--limit", "1", "--expand", "1", "--json").json[
        "hits"
    ]
    assert [hit["memory"]["id"] for hit in hits] == [first, second]
