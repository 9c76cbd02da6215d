"""Each container's command, run as it stands on real stores, with the files of its Secret where its variables say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import planted
from tests.conftest import OUR_LABELS, neo4j_driver
from tests.kubernetes.manifests import SECRETS, Pod, pods

pytestmark = pytest.mark.long
PODS = pods()
DIPTYCH = Path(sys.executable).with_name("diptych")
SECONDS = 60


class Node:
    """What stands for the cluster: folders for the volumes, files for the Secret, a free port for a container's."""

    def __init__(self, folder: Path, schema: str, secrets: dict[str, str]) -> None:
        self.folder = folder
        self.schema = schema
        for path in (SECRETS, "/var/lib/diptych", "/backups", "/nowhere"):
            self.at(path).mkdir(parents=True)
        for name, value in secrets.items():
            self.at(f"{SECRETS}/{name}").write_text(value, encoding="utf-8")

    def at(self, path: str) -> Path:
        """Return where a path of the containers is here."""
        return self.folder / path.lstrip("/")

    def environment(self, pod: Pod) -> dict[str, str]:
        """Return the container's variables, and beside them the schema that is this test's own."""
        mapped = {name: self.here(value, pod) for name, value in pod.environment.items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **mapped, "DIPTYCH_SCHEMA_NAME": self.schema}

    def here(self, value: str, pod: Pod) -> str:
        """Return a value of the manifest with its path, address or port as it is on this machine."""
        if value == "0.0.0.0":  # noqa: S104  # what a container listens on
            return "127.0.0.1"
        return "0" if value == str(pod.port) else str(self.at(value)) if value.startswith("/") else value

    def run(self, name: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run a container's command, with more arguments, to its end."""
        pod = PODS[name]
        done = subprocess.run(
            [DIPTYCH, *(self.here(word, pod) for word in pod.command[1:]), *more],
            env=self.environment(pod),
            cwd=self.at("/nowhere"),
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        planted.check(done.stdout, done.stderr)
        return done

    @contextmanager
    def running(self, name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """Keep a container's command running in the block, and give the URL at which it answers."""
        pod = PODS[name]
        command = [DIPTYCH, *(self.here(word, pod) for word in pod.command[1:]), "--json"]
        with subprocess.Popen(
            command, env=self.environment(pod), cwd=self.at("/nowhere"), stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield process, json.loads(process.stdout.readline())["address"]
            finally:
                process.kill()


def answer(url: str, key: str | None = None, body: object = None) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=SECONDS) as found:  # noqa: S310
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def node(tmp_path: Path, postgres_url: str, clean_neo4j: str, pg_schema: str) -> Node:
    """Give a node whose stores are real ones."""
    secrets = {
        "vector-url": postgres_url,
        "graph-url": clean_neo4j,
        "session-secret": "a secret of the session, long enough\n",
        "backup-passphrase": "a passphrase of the backups\n",
    }
    return Node(tmp_path, pg_schema, secrets)


@pytest.fixture
def key(node: Node) -> str:
    """Make an API key, as the how-to does, and return it."""
    environment = node.environment(PODS["diptych-api"])
    made = subprocess.run(
        [DIPTYCH, "keys", "create", "app", "--scope", "write"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


@pytest.mark.timeout(300)  # seven processes, each with all of its libraries
def test_what_the_containers_run(node, key, neo4j_url):
    """API, worker, checks and backup work on one pair of stores; probes and metrics answer as they are asked.

    Where the graph lacks what truth has, the check ends with 1, by which its job fails.
    """
    with node.running("diptych-api") as (api, at), node.running("diptych-worker") as (worker, by):
        for url, name in ((at, "diptych-api"), (by, "diptych-worker")):
            container = PODS[name].container
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert answer(url + container[probe]["httpGet"]["path"])[0] == 200
            assert answer(f"{url}/metrics")[0] == 401
            assert "diptych_outbox_entries" in answer(f"{url}/metrics", key)[1]
        draft = {"user_id": "ada", "content": "Ada works at Babbage & Co."}
        assert answer(f"{at}/memories", key, draft)[0] == 201
        check = node.run("diptych-check")
        assert (check.returncode, json.loads(check.stdout)["in_step"]) == (0, True), check.stderr
        assert json.loads(node.run("diptych-check-full").stdout)["depth"] == "full"
        backup = node.run("diptych-backup")
        assert backup.returncode == 0, backup.stderr
        report = json.loads(backup.stdout)
        assert (report["live"], report["encrypted"]) == (1, True)
        assert list(node.at("/backups").iterdir())
        emptied(neo4j_url)
        check = node.run("diptych-check")
        assert (check.returncode, json.loads(check.stdout)["counts"]["missing_in_graph"]) == (1, 1), check.stderr
        ended(api, at)
        ended(worker, by)
    assert (api.returncode, worker.returncode) == (0, 0)
    assert not list(node.at("/nowhere").iterdir())


def emptied(graph: str) -> None:
    """Take the memories out of a graph, behind everybody's back."""
    with neo4j_driver(graph) as driver, driver.session() as session:
        session.run(f"MATCH (n:{OUR_LABELS}) WHERE NOT n:DiptychStore DETACH DELETE n").consume()


def ended(process: subprocess.Popen[str], url: str) -> None:
    """Tell a process to end, see that it is not ready while it still answers, tell it to hurry, and wait."""
    process.send_signal(signal.SIGTERM)
    while (code := answer(f"{url}/readyz")[0]) == 200:
        pass
    assert code == 503
    process.send_signal(signal.SIGTERM)
    process.wait(SECONDS)
