"""`serve` and `worker` as they are started and stopped, and `keys`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from persistence import PersistenceService

SECONDS = 30
MEMORY = {"DIPTYCH_VECTOR_URL": "memory://", "DIPTYCH_GRAPH_URL": "memory://"}


@pytest.fixture
def light(bare):
    """Give the command on stores inside its process."""
    bare.environment |= MEMORY
    return bare


@contextmanager
def started(command, *args: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start a command that goes on, and wait for the line that says it is ready."""
    with command.start(*args, "--json", **environment) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            yield process, json.loads(line)
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for the end; return the exit code and what was said after the first line."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serve_from_start_to_end(light, number: signal.Signals):
    """`serve --json` says on one line where it is, serves there, and ends with 0 when it is told to."""
    with started(light, "serve", "--port", "0") as (process, said):
        assert said["status"] == "ready"
        assert httpx.get(f"{said['address']}/livez").json() == {"status": "alive"}
        assert httpx.get(f"{said['address']}/readyz").json() == {"status": "ready"}
        assert httpx.get(f"{said['address']}/nothing").status_code == 404
        process.send_signal(number)
        code, out, err = ended(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert all(json.loads(line)["level"] in {"info", "warning"} for line in err.splitlines())


def test_worker_from_start_to_end(light):
    """`worker` says that it works, and ends with 0 when it is told to, however often."""
    with started(light, "worker") as (process, said):
        assert said == {"status": "working"}
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert ended(process)[:2] == (0, "")


def test_worker_with_metrics(light):
    """`worker --metrics-port` serves its metrics and its probes, and nothing else."""
    with started(light, "worker", "--metrics-port", "0") as (process, said):
        assert said["status"] == "working"
        assert said["address"].startswith("http://127.0.0.1:")
        with httpx.Client(base_url=said["address"]) as http:
            assert [http.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
            assert "diptych_outbox_entries" in http.get("/metrics").text
            others = ("/", "/dashboard", "/memories", "/mcp", "/openapi.json", "/persistence/status")
            assert {http.get(path).status_code for path in others} == {404}
        process.send_signal(signal.SIGTERM)
        assert ended(process)[:2] == (0, "")


def test_metrics_of_a_worker_are_for_this_machine(light):
    """Without a key a worker's metrics are no other machine's; where there is one, whoever asks needs it."""
    ran = light("worker", "--metrics-port", "0", "--metrics-host", "0.0.0.0")  # noqa: S104  # refused is what is tested
    assert ran.code == 2
    assert ran.err.startswith("Error: Without authentication the server listens on this machine only")
    ran = light("worker", "--metrics-host", "127.0.0.1")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "Error: Without --metrics-port nothing is served.")
    key = light("keys", "create", "prometheus", "--scope", "read", "--json").json["key"]
    with started(light, "worker", "--metrics-port", "0") as (_, said):
        at = f"{said['address']}/metrics"
        assert httpx.get(at).status_code == 401
        assert httpx.get(at, headers={"Authorization": f"Bearer {key}"}).status_code == 200


#: What can be switched off, in two parts: each process does what is left out in the other.
PARTS = ({"api", "relay", "schedule"}, {"dashboard", "mcp"})


def pending_truth(folder: Path) -> dict[str, str]:
    """Make stores with a memory that the graph has yet to get; return the environment that leads to them."""
    urls = {"vector": f"sqlite:///{folder}/truth.db", "graph": f"file:///{folder}/graph"}
    for graph in (urls["graph"], "none://"):
        with PersistenceService.connect(vector=urls["vector"], graph=graph) as memories:
            memories.store("Ada is here.", user_id="u1")
    return {
        "DIPTYCH_VECTOR_URL": urls["vector"],
        "DIPTYCH_GRAPH_URL": urls["graph"],
        "DIPTYCH_SYNC_QUICK_EVERY": "1s",
        "DIPTYCH_SYNC_JITTER": "0",
    }


def done_by(http: httpx.Client) -> set[str]:
    """Return what a process does: what it answers, whether the outbox was worked off, whether a check was made."""
    metrics = http.get("/metrics").text
    seen = {
        "api": http.get("/persistence/status").status_code == 200,
        "dashboard": http.get("/dashboard").status_code == 200,
        "mcp": http.post("/mcp").status_code != 404,
        "relay": 'diptych_outbox_entries{state="pending"} 0.0' in metrics,
        "schedule": "diptych_runs_total{" in metrics,
    }
    return {name for name, is_done in seen.items() if is_done}


def test_each_can_be_switched_off(light, tmp_path):
    """Each of API, dashboard, MCP, relay and schedule is left out by its switch, and all the others go on.

    The process that checks and works the outbox off is the clock of those that were told not to.
    """
    commands = [["serve", "--port", "0", *(f"--no-{name}" for name in sorted(off))] for off in PARTS]
    commands.append(["worker", "--metrics-port", "0", "--no-schedule"])
    wanted = [PARTS[1], PARTS[0], {"relay"}]
    with ExitStack() as stack:
        clients = []
        for number, command in enumerate(commands):
            folder = tmp_path / str(number)
            folder.mkdir()
            _, said = stack.enter_context(started(light, *command, **pending_truth(folder)))
            clients.append(stack.enter_context(httpx.Client(base_url=said["address"], timeout=SECONDS)))
        patience = time.monotonic() + SECONDS
        while [done_by(http) for http in clients[1:]] != wanted[1:] and time.monotonic() < patience:
            time.sleep(0.2)  # metrics are looked at, they tell nobody
        assert [done_by(http) for http in clients] == wanted


def test_a_port_in_use(light):
    """A port that is taken is a sentence, and 2; no store is opened for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = light("serve", "--port", str(port), DIPTYCH_VECTOR_URL="postgresql://127.0.0.1:1/none")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Error: The server cannot listen on port {port} of 127.0.0.1: Address already in use.")


def test_only_this_machine_without_a_key(light):
    """Without a key the server refuses every address but this machine's, and says what to do; with one it listens."""
    ran = light("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104  # refused is what is tested
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "Error: Without authentication the server listens on this machine only, and 0.0.0.0 is more than that.",
        "Try: make a key by `diptych keys create NAME --scope admin` first, or configure tokens (JWT)",
    ]
    key = light("keys", "create", "me", "--json").json["key"]
    with started(light, "serve", "--host", "0.0.0.0", "--port", "0") as (_, said):  # noqa: S104  # with a key it may
        at = said["address"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert httpx.get(f"{at}/openapi.json").status_code == 401
        assert httpx.get(f"{at}/openapi.json", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert light("keys", "revoke", "me").code == 0
        assert httpx.get(f"{at}/openapi.json", headers={"Authorization": f"Bearer {key}"}).status_code == 401


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DIPTYCH_API_RATE_LIMIT": "often"}, "The setting rate_limit is wrong"),
        ({"DIPTYCH_API_JWT_SECRET": "short-secret"}, "The secret of tokens is shorter than 32 bytes"),
    ],
)
def test_settings_that_are_wrong(light, environment: dict[str, str], sentence: str):
    """A setting that is wrong is a sentence, and 2, before anything listens; a secret is not shown."""
    ran = light("serve", "--port", "0", **environment)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Error: {sentence}")
    assert "short-secret" not in ran.err


def test_a_damaged_file_of_keys(light, tmp_path):
    """A server does not start on a damaged file of keys, and no key is made in one."""
    (tmp_path / "keys.json").write_text("{")
    for args in (["serve", "--port", "0"], ["keys", "create", "me"], ["keys", "list"]):
        ran = light(*args, DIPTYCH_API_KEYS_FILE=str(tmp_path / "keys.json"))
        assert ran.code == 2
        assert "is damaged" in ran.err


def test_keys_from_making_to_revoking(bare):
    """`keys` needs no store: a key is shown once, listed without its secret, and revoked, a second time as well."""
    made = bare(
        "keys", "create", "app", "--scope", "read", "--scope", "write", "-u", "u1", "--expires", "90d", "--json"
    )
    assert made.code == 0
    assert {name: made.json[name] for name in ("status", "name", "scopes", "user_id", "state")} == {
        "status": "created",
        "name": "app",
        "scopes": ["read", "write"],
        "user_id": "u1",
        "state": "valid",
    }
    secret = made.json["key"].rpartition("_")[2]
    listed = bare("keys", "list", "--json")
    assert secret not in listed.out + bare("keys", "list").out
    assert [key["id"] for key in listed.json["keys"]] == [made.json["id"]]
    assert bare("keys", "create", "app").code == 2
    assert [bare("keys", "revoke", "app", "--json").json["status"] for _ in range(2)] == ["revoked", "already_revoked"]
    again = bare("keys", "create", "app")
    assert again.out.startswith("dk_")
    assert len(again.out.splitlines()) == 1


@pytest.mark.parametrize(
    "args", [["--expires", "yesterday"], ["--expires", "2020-01-01"], ["-u", ""], ["--scope", "x"]]
)
def test_keys_that_cannot_be(bare, args: list[str]):
    """What a key cannot be is a sentence, and 2."""
    ran = bare("keys", "create", "app", *args)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
