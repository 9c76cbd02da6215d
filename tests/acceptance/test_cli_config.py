"""`config`, and `backup --every`, as they are started."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from api.cli.configuring.envfile import EXAMPLE

ROOT = Path(__file__).parents[2]
NAME = "memories.example.org"


@pytest.mark.parametrize("command", ["generate", "check"])
def test_the_command_in_an_empty_folder(bare, command: str):
    """Where there is no checkout the sentence says so, and how to name one."""
    ran = bare("config", command)
    assert ran.code == 2
    assert ran.err.startswith(
        "Error: There is no deploy/env.production.example.\nTry: run this in a checkout of diptych"
    )


def test_the_command(bare):
    """The command makes, says what it made without showing it, and refuses by exit code 2 with one line each."""
    (bare.folder / "deploy").mkdir()
    shutil.copy(ROOT / EXAMPLE, bare.folder / EXAMPLE)
    ran = bare("config", "generate", "--name", NAME, "--json")
    assert (ran.code, ran.json["status"], ran.json["env"]) == (0, "generated", True)
    for path in (bare.folder / "secrets").iterdir():
        assert not path.read_text().strip() or path.read_text().strip() not in ran.out + ran.err
    ran = bare("config", "check", "--json")
    assert (ran.code, ran.json["ok"]) == (2, False)
    assert [one["where"] for one in ran.json["troubles"]] == ["secrets/tls_certificate", "secrets/tls_key"]
    ran = bare("config", "check")
    assert (ran.code, ran.out.splitlines()[0]) == (2, "✗ secrets/tls_certificate: There is no such file.")
    assert bare("config", "generate", "--json").json["status"] == "already_complete"


def test_backups_whenever_they_are_due(bare):
    """`backup --every` makes a backup at once where there is none, says when the next is due, and ends with 0."""
    bare.environment |= {"DIPTYCH_VECTOR_URL": f"sqlite:///{bare.folder}/truth.db", "DIPTYCH_GRAPH_URL": "none://"}
    assert bare("schema", "upgrade").code == 0
    for made in (True, False):
        with bare.start("backup", "there", "--every", "0 2 * * *") as process:
            said = [process.stderr.readline().decode() for _ in range(1)]
            while not said[-1].startswith("The next backup is due at "):
                assert said[-1], said
                said.append(process.stderr.readline().decode())
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
        assert (process.returncode, b"-full-" in out) == (0, made)
    assert len(list((bare.folder / "there").iterdir())) == 1


@pytest.mark.parametrize("when", ["", "nightly", "0s"])
def test_backups_that_would_never_be_due(bare, when: str):
    """A schedule that is none is refused before anything is made."""
    ran = bare("backup", "there", "--every", when)
    assert ran.code == 2
    assert "--every" in ran.err
    assert not (bare.folder / "there").exists()
