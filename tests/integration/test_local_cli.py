"""`diptych local`: the commands, what they print, and their exit codes."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli.local import app


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder for the servers, in DIPTYCH_HOME, and stop at the end what runs there."""
    with tempfile.TemporaryDirectory(prefix="diptych-test-") as name:
        Path(name).chmod(0o711)  # a server that does not run as root must pass through
        monkeypatch.setenv("DIPTYCH_HOME", name)
        yield Path(name)
        run("down")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def servers(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["servers"]


def test_a_server_goes_up_and_down(home: Path):
    """A repeated command succeeds and says that there was nothing to do; the JSON has the same shape throughout."""
    calls = [("up", "postgres"), ("up", "postgres"), ("status", "postgres"), ("down", "postgres"), ("down", "postgres")]
    found = [servers(run(*call, "--json"))[0] for call in calls]
    assert [server["status"] for server in found] == [
        "started", "already_running", "running", "stopped", "already_stopped",
    ]  # fmt: skip
    assert len({tuple(server) for server in found}) == 1
    assert found[0] == {
        "name": "postgres",
        "status": "started",
        "running": True,
        "url": found[1]["url"],
        "pid": found[1]["pid"],
        "data": str(home / "postgres" / "data"),
        "log": str(home / "postgres" / "server.log"),
    }


def test_status_touches_nothing(home: Path):
    """Without any server there is nothing to list but names, and no folder is made."""
    assert [server["status"] for server in servers(run("status", "--json"))] == ["stopped"] * 3
    assert list(home.iterdir()) == []
    assert "postgres  stopped" in run("status").stdout


def test_what_is_missing_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch):
    """No Java is an error and what to try on stderr, exit code 2, and no traceback."""
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    result = run("up", "neo4j")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: The local neo4j needs Java, and there is none." in result.stderr
    assert "Try: install a JDK, 17 or newer" in result.stderr
    assert "Traceback" not in result.stderr
