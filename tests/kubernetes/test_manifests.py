"""The manifests: as Kubernetes takes them, as this service needs them, with nothing in them that a pod need not do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from cronsim import CronSim
from pydantic import SecretStr

from api.http import ApiConfig
from api.http.probes import make_probes
from api.http.serving import LAST_TIME, RUNS_TIME
from persistence.assembly import CLOSE_TIME
from persistence.settings import PersistenceConfig
from tests.kubernetes.manifests import FOLDER, SECRETS, named, of_kind, pods, settings

ROOT = Path(__file__).parents[2]
CRD = Path(__file__).with_name("schemas") / "monitoring.coreos.com_servicemonitors.yaml"
RESOURCES = named()
OURS = {name: resource for name, resource in RESOURCES.items() if resource["kind"] != "ServiceMonitor"}
PODS = pods()
#: The oldest version in which all that the manifests ask for is there, and the newest that is known.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
#: Set by others than the settings: by the command for backups, which reads it itself.
BESIDE = {"DIPTYCH_BACKUP_PASSPHRASE_FILE"}


def labelled(selector, resource):
    return selector.items() <= resource["metadata"]["labels"].items()


def workloads_of(selector):
    """Return the names of the pods' makers whose pods a selector finds."""
    return {name for name, pod in PODS.items() if labelled(selector, pod.template)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OURS)
def test_kubernetes_takes_it(name, version):
    """Each resource is valid by the API's own schema, in its strict form: no field that the API does not know."""
    kubernetes_validate.validate(OURS[name], version, strict=True)


def strict(schema):
    """Return a schema in which an object with named fields has no others, as the API warns of those."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def test_the_operator_takes_the_service_monitor():
    """The ServiceMonitor is valid by the schema in the operator's own definition of that resource."""
    versions = {one["name"]: one for one in yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]["versions"]}
    schema = strict(versions["v1"]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"].pop("additionalProperties", None)
    monitor = RESOURCES["ServiceMonitor/diptych"]
    jsonschema.Draft7Validator(schema).validate(monitor)
    monitor = json.loads(json.dumps(monitor).replace("scrapeTimeout", "scrapeTimeOut"))
    with pytest.raises(jsonschema.ValidationError, match="scrapeTimeOut"):
        jsonschema.Draft7Validator(schema).validate(monitor)


# --- what a pod may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_as_little_as_can_be(name):
    """No root, no writable root file system, no capabilities, no token, no system calls but the usual ones; limits."""
    pod = PODS[name]
    around, inside = pod.spec["securityContext"], pod.container["securityContext"]
    assert (around["runAsNonRoot"], around["runAsUser"] > 0, around["runAsGroup"] > 0) == (True, True, True)
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["automountServiceAccountToken"] is False
    assert RESOURCES[f"ServiceAccount/{pod.spec['serviceAccountName']}"]["automountServiceAccountToken"] is False
    assert pod.container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in pod.container["resources"]["limits"]
    assert RESOURCES["Namespace/diptych"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", PODS)
def test_a_pod_can_write_where_it_has_to(name):
    """Each volume is mounted and each mount has its volume; /tmp and DIPTYCH_HOME are the pod's own, and of a size."""
    pod = PODS[name]
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod.container["volumeMounts"]}
    assert {volume["name"] for volume in mounts.values()} == volumes.keys()
    for path in ("/tmp", pod.environment["DIPTYCH_HOME"]):  # noqa: S108  # a path in a container
        assert "sizeLimit" in mounts[path]["emptyDir"]
    claims = {
        volume["persistentVolumeClaim"]["claimName"] for volume in mounts.values() if "persistentVolumeClaim" in volume
    }
    assert {f"PersistentVolumeClaim/{claim}" for claim in claims} <= RESOURCES.keys()
    for path in re.findall(r"'(/\S+?)'", str(pod.command)):
        assert path in mounts


@pytest.mark.parametrize("name", PODS)
def test_a_pod_reads_the_secrets_it_needs_and_no_others(name):
    """Secrets are files of a Secret that is named and nowhere written; each pod has those that its variables name."""
    pod = PODS[name]
    (secret,) = [volume["secret"] for volume in pod.spec["volumes"] if "secret" in volume]
    assert secret["secretName"] == "diptych"  # its name
    assert secret["defaultMode"] == 0o440
    given = {f"{SECRETS}/{item['path']}" for item in secret["items"]}
    assert given == {value for value in pod.environment.values() if value.startswith(SECRETS)}
    assert not list(of_kind("Secret"))


@pytest.mark.parametrize("name", [name for name, pod in PODS.items() if pod.resource["kind"] == "Deployment"])
def test_a_rollout_leaves_nobody_waiting(name):
    """A new pod is ready before an old one ends; several, on several nodes; a drain of a node takes one at a time."""
    pod = PODS[name]
    spec = pod.resource["spec"]
    assert spec["replicas"] > 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert labelled(spec["selector"]["matchLabels"], pod.template)
    (spread,) = pod.spec["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert workloads_of(spread["labelSelector"]["matchLabels"]) == {name}
    budgets = [one["spec"] for one in of_kind("PodDisruptionBudget")]
    (budget,) = [one for one in budgets if workloads_of(one["selector"]["matchLabels"]) == {name}]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_time_to_end(name):
    """Kubernetes waits longer than a pod takes that drains, ends what is under way and closes its stores."""
    pod = PODS[name]
    config = ApiConfig(
        drain_delay=settings()["DIPTYCH_API_DRAIN_DELAY"], drain_timeout=settings()["DIPTYCH_API_DRAIN_TIMEOUT"]
    )
    closing = 2 * CLOSE_TIME + 2 * LAST_TIME
    draining = config.drain_delay + RUNS_TIME + config.drain_timeout
    assert config.drain_timeout >= config.request_timeout
    needed = closing + (draining if pod.resource["kind"] == "Deployment" else 0)
    assert pod.spec["terminationGracePeriodSeconds"] > needed


# --- that it fits the service ---------------------------------------------------------------------------------------


def known() -> set[str]:
    """Return every variable that the settings know, of secrets also the one that names a file."""
    found = set(BESIDE)
    for prefix, model in (("DIPTYCH_", PersistenceConfig), ("DIPTYCH_API_", ApiConfig)):
        for field, about in model.model_fields.items():
            found.add(prefix + field.upper())
            if SecretStr in getattr(about.annotation, "__args__", (about.annotation,)):
                found.add(f"{prefix}{field.upper()}_FILE")
    return found


@pytest.mark.parametrize("name", PODS)
def test_each_variable_is_a_setting(name):
    """Every variable is one that the settings know; all pods have those of settings.env, by the generated name."""
    pod = PODS[name]
    assert pod.environment.keys() <= known()
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    (generated,) = kustomization["configMapGenerator"]
    assert pod.container["envFrom"] == [{"configMapRef": {"name": generated["name"]}}]


def test_the_settings_are_taken():
    """What settings.env says is what the settings allow."""
    api = {name.removeprefix("DIPTYCH_API_").lower(): value for name, value in settings().items() if "_API_" in name}
    assert ApiConfig.model_validate(api).port == PODS["diptych-api"].port
    rest = {name.removeprefix("DIPTYCH_").lower(): value for name, value in settings().items() if "_API_" not in name}
    assert PersistenceConfig.model_validate(rest)


@pytest.mark.parametrize("name", ["diptych-api", "diptych-worker"])
def test_the_cron_jobs_alone_check(name):
    """No pod that goes on for ever makes checks on a schedule of its own."""
    assert "--no-schedule" in PODS[name].container["command"]


def test_checks_do_not_meet():
    """No check begins while another may still run: two at a time cannot be, and the second would be an alarm."""
    begin = datetime(2026, 1, 5, tzinfo=UTC) - timedelta(seconds=1)
    runs = []
    for name in ("diptych-check", "diptych-check-full"):
        spec = PODS[name].resource["spec"]
        longest = timedelta(seconds=spec["jobTemplate"]["spec"]["activeDeadlineSeconds"])
        starts = takewhile(lambda start: start < begin + timedelta(days=1), CronSim(spec["schedule"], begin))
        runs += [(start, start + longest) for start in starts]
    runs.sort()
    assert len(runs) == 92 + 1
    assert all(end <= following for (_, end), (following, _) in pairwise(runs))


@pytest.mark.parametrize("name", [name for name, pod in PODS.items() if pod.port])
def test_each_probe_asks_a_path_that_there_is(name):
    """Probes ask the probes' own routes, on the port that the container names; liveness asks nothing of the stores."""
    pod = PODS[name]
    paths = {route.path for route in make_probes(None).routes}
    probes = {kind: pod.container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    for get in probes.values():
        assert get["path"] in paths
        assert get["port"] in {port["name"] for port in pod.container["ports"]}
    assert [probes[kind]["path"] for kind in probes] == ["/livez", "/livez", "/readyz"]


def test_metrics_are_asked_of_every_pod_that_has_them():
    """The ServiceMonitor finds a service of each deployment, a port and path that are there, under the alerts' job."""
    monitor = RESOURCES["ServiceMonitor/diptych"]
    found = [one for one in of_kind("Service") if labelled(monitor["spec"]["selector"]["matchLabels"], one)]
    assert {name for one in found for name in workloads_of(one["spec"]["selector"])} == {
        "diptych-api",
        "diptych-worker",
    }
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in one["spec"]["ports"]} for one in found)
    scrape = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (config,) = scrape["scrape_configs"]
    assert endpoint["path"] == config["metrics_path"]
    assert {one["metadata"]["labels"][monitor["spec"]["jobLabel"]] for one in found} == {config["job_name"]}


def test_what_may_reach_whom():
    """All of our pods are shut but for what is said: the API and the worker on their own ports, the stores, names."""
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind("NetworkPolicy")}
    shut = policies.pop("diptych-nothing")
    assert (workloads_of(shut["podSelector"]["matchLabels"]), shut["policyTypes"]) == (set(PODS), ["Ingress", "Egress"])
    assert not {"ingress", "egress"} & shut.keys()
    out = policies.pop("diptych-egress")
    assert workloads_of(out["podSelector"]["matchLabels"]) == set(PODS)
    assert {port["port"] for rule in out["egress"] for port in rule["ports"]} == {53, 5432, 7687, 6333, 443}
    for name, policy in policies.items():
        assert workloads_of(policy["podSelector"]["matchLabels"]) == {name}
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {PODS[name].port}


def test_the_ingress_leads_to_the_api():
    """The example sends all paths of the host that the API knows itself by to the API's service, over TLS."""
    ingress = RESOURCES["Ingress/diptych"]["spec"]
    (rule,), (tls,) = ingress["rules"], ingress["tls"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    service = RESOURCES[f"Service/{backend['name']}"]["spec"]
    assert workloads_of(service["selector"]) == {"diptych-api"}
    assert backend["port"]["name"] in {port["name"] for port in service["ports"]}
    assert [rule["host"]] == tls["hosts"] == settings()["DIPTYCH_API_NAMES"].split(",")
    assert path["path"] == "/"


# --- kustomize ------------------------------------------------------------------------------------------------------


def test_nothing_lies_there_unused():
    """Every file is named by the kustomization beside it; the image is of this version."""
    for file in FOLDER.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
        there = {path.name for path in file.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert set(kustomization["resources"]) == there
    base = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert base["images"] == [{"name": "diptych", "newTag": version}]


def test_kustomize_makes_the_whole_of_it(tmp_path):
    """`kubectl kustomize` makes every resource, with both components, the image and the generated name put in."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH")
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    components = ["../kubernetes/ingress", "../kubernetes/monitoring"]
    overlay = {"namespace": "diptych", "resources": ["../kubernetes"], "components": components}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    done = subprocess.run([kubectl, "kustomize", tmp_path / "mine"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    made = {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(done.stdout)}
    (settings_name,) = made.keys() - RESOURCES.keys()
    assert re.fullmatch(r"ConfigMap/diptych-settings-\w+", settings_name)
    assert made[settings_name]["data"] == settings()
    assert made.keys() - {settings_name} == RESOURCES.keys()
    for name, resource in made.items():
        assert resource["kind"] == "Namespace" or resource["metadata"]["namespace"] == "diptych", name
    (container,) = made["Deployment/diptych-api"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"][0]["configMapRef"]["name"] == settings_name.removeprefix("ConfigMap/")
    assert container["image"].startswith("diptych:")
