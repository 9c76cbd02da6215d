"""The how-to, done as it says: what it makes is what the manifests read, and its commands are those of kubectl."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.manifests import FOLDER, of_kind, pods

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
BLOCKS = re.findall(r"```(sh|yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SHELL = [text for language, text in BLOCKS if language == "sh"]
(OVERLAY,) = [text for language, text in BLOCKS if language == "yaml"]
#: What kubectl would make it only prints, one document after another; it needs no cluster for that.
DRY = 'kubectl() { command kubectl "$@" --dry-run=client --output yaml && echo ---; }\nset -euo pipefail\n'


@pytest.fixture
def kubectl():
    """Return where kubectl is."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not on the PATH")
    return found


def with_path(tmp_path):
    """Return an environment in which `diptych` is the command of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}


def test_the_secrets_are_those_that_the_pods_read(kubectl, tmp_path):
    """The commands make the Secrets that manifests name, with the keys they read, and API keys that a server takes."""
    (block,) = [text for text in SHELL if "create secret" in text]
    script = ["bash", "-c", DRY + block]
    done = subprocess.run(script, cwd=tmp_path, env=with_path(tmp_path), check=True, capture_output=True, text=True)
    made = {one["metadata"]["name"]: one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "Secret"}
    volumes = [volume["secret"] for pod in pods().values() for volume in pod.spec["volumes"] if "secret" in volume]
    assert made["diptych"]["data"].keys() == {item["key"] for volume in volumes for item in volume["items"]}
    (monitor,) = of_kind("ServiceMonitor")
    asked = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert made[asked["name"]]["data"].keys() == {asked["key"]}
    keys = json.loads((tmp_path / "api-keys.json").read_text(encoding="utf-8"))["keys"]
    assert {key["name"] for key in keys} == {"app", "prometheus"}
    assert len((tmp_path / "session-secret").read_bytes()) >= 32


def test_the_overlay_is_one(kubectl, tmp_path):
    """The kustomization of one's own changes names, settings and image, and has the Ingress and the ServiceMonitor."""
    shutil.copytree(FOLDER, tmp_path / "diptych" / "deploy" / "kubernetes")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(OVERLAY, encoding="utf-8")
    done = subprocess.run([kubectl, "kustomize", tmp_path / "mine"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    made = {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(done.stdout)}
    assert {one["metadata"].get("namespace", "diptych") for one in made.values()} == {"diptych"}
    assert made["Ingress/diptych"]["spec"]["rules"][0]["host"] == "memories.example.org"
    assert "ServiceMonitor/diptych" in made
    (container,) = made["Deployment/diptych-api"]["spec"]["template"]["spec"]["containers"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert container["image"] == f"registry.example.org/diptych:{version}"
    assert set(re.findall(r"diptych:(\d\S*)", "\n".join(SHELL))) == {version}
    data = made[f"ConfigMap/{container['envFrom'][0]['configMapRef']['name']}"]["data"]
    assert (data["DIPTYCH_API_NAMES"], data["DIPTYCH_POOL_SIZE"]) == ("memories.example.org", "16")
    assert data["DIPTYCH_API_HOST"] == "0.0.0.0"  # noqa: S104  # in a pod


def test_the_restore_is_the_backup_with_another_command(kubectl, tmp_path):
    """The patch puts `diptych restore` into a job made of the backup's, whose volume has the folder that it names."""
    (block,) = [text for text in SHELL if "kubectl patch" in text]
    patch = json.loads(re.search(r"'(\[.*])'", block)[1])
    backup = pods()["diptych-backup"]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "restore"},
        "spec": {"template": backup.template},
    }
    command = [kubectl, "patch", "--local", "-f", "-", "--type", "json", "-o", "json", "--patch", json.dumps(patch)]
    done = subprocess.run(
        command, input=json.dumps(job), check=True, capture_output=True, text=True, env=with_path(tmp_path)
    )
    container = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["diptych", "restore", "/backups"]
    assert container["command"][-1] in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_what_the_commands_name_is_there():
    """Deployments, cron jobs and labels that the commands name are those of the manifests."""
    text = "\n".join(SHELL)
    makers = {("deployment", "Deployment"), ("cronjob", "CronJob")}
    for word, kind in makers:
        named = set(re.findall(rf"\b{word}/(\S+)", text))
        assert named <= {one["metadata"]["name"] for one in of_kind(kind)}
    components = {pod.template["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods().values()}
    assert set(re.findall(r"app\.kubernetes\.io/component=(\w+)", text)) <= components
    (client,) = re.findall(r"label namespace \S+ (\S+)=true", text)
    assert client in (FOLDER / "networkpolicy.yaml").read_text(encoding="utf-8")
    assert {file.name for file in FOLDER.iterdir() if file.suffix in {".yaml", ".env"}} - {
        "kustomization.yaml",
        "namespace.yaml",
        "serviceaccount.yaml",
    } == set(re.findall(r"^\| `(\S+\.(?:yaml|env))`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
