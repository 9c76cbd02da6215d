"""The Compose files without an engine: their form, their variables, their mounts, and what they wall off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from api.cli.configuring.envfile import EXAMPLE, is_placeholder, variables
from api.cli.configuring.secret_files import PROFILES, SECRETS
from api.http.settings import ApiConfig
from persistence.settings import PersistenceConfig
from tests.conftest import installed, missing
from tests.deploy import compose

SCHEMA = json.loads((Path(__file__).parent / "compose-spec" / "compose-spec.json").read_text(encoding="utf-8"))
FILES = [pytest.param(path, id=path.name) for path in (compose.PRODUCTION, compose.DEVELOPMENT)]
STACK = compose.production()
SERVICES: dict[str, Any] = STACK["services"]
OURS = SERVICES["api"]["image"]
EACH = pytest.mark.parametrize("name", SERVICES)
#: What lies in a database is reached from inside alone.
STORES = {"postgres", "qdrant", "neo4j", "redis"}
#: Those that come to their end by themselves.
ENDS = {"schema"}


@pytest.mark.parametrize("path", FILES)
def test_it_is_of_the_specification(path: Path):
    """The file is what the Compose specification's own schema allows, also with its variables put in."""
    for file in (compose.loaded(path), compose.put_in(compose.loaded(path), compose.example_values())):
        faults = [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(file)]
        assert faults == []


def test_each_variable_is_documented_and_each_documented_one_is_used():
    """The example names the variables of the stack, each under a comment, and no other but Compose's own."""
    example = variables((compose.ROOT / EXAMPLE).read_text(encoding="utf-8"))
    assert compose.used(compose.loaded(compose.PRODUCTION)) == {
        one.name for one in example if not one.name.startswith("COMPOSE_")
    }
    assert len({one.name for one in example}) == len(example)
    text = (compose.ROOT / EXAMPLE).read_text(encoding="utf-8")
    for block in text.split("\n\n"):
        assert block.startswith("# "), block


def test_the_example_has_no_secret():
    """No variable of the example holds a password or a key: those are files, and files' places are all it names."""
    for one in variables((compose.ROOT / EXAMPLE).read_text(encoding="utf-8")):
        if re.search("PASSWORD|SECRET|KEY|TOKEN|PASSPHRASE", one.name):
            assert is_placeholder(one.value) or one.value.startswith(("./", "/run/secrets/"))


def test_each_secret_is_one_that_is_made_and_mounted():
    """The stack's secrets are those that `config generate` and `config check` know, and each is mounted somewhere."""
    assert set(STACK["secrets"]) == {secret.name for secret in SECRETS}
    for name, secret in STACK["secrets"].items():
        assert secret["file"] == f"./secrets/{name}"
    assert set().union(*(mounted_secrets(one) for one in SERVICES.values())) == set(STACK["secrets"])


def mounted_secrets(service: dict[str, Any]) -> set[str]:
    """Return which secrets a service is shown."""
    return {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}


@EACH
def test_each_file_of_a_secret_is_mounted(name: str):
    """Whatever setting names a file below /run/secrets, that secret is shown to the service."""
    service = SERVICES[name]
    told = " ".join([*map(str, service.get("environment", {}).values()), *map(str, service.get("command", []))])
    named = {Path(word).stem for word in re.findall(r"/run/secrets/([\w.]+)", told)}
    assert named <= mounted_secrets(service)


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service["image"] == OURS])
def test_each_setting_is_one(name: str):
    """What our own services are told by DIPTYCH_… is a setting, or the file of a secret one."""
    known = {f"DIPTYCH_{field.upper()}" for field in PersistenceConfig.model_fields}
    known |= {f"DIPTYCH_API_{field.upper()}" for field in ApiConfig.model_fields} | {"DIPTYCH_BACKUP_PASSPHRASE"}
    told = compose.loaded(compose.PRODUCTION)["services"][name]["environment"]
    assert {one.removesuffix("_FILE") if one not in known else one for one in told} <= known


@pytest.mark.parametrize("path", FILES)
def test_each_mounted_path_exists(path: Path):
    """A file or folder of this checkout that is mounted is there; a volume that is mounted is declared."""
    file = compose.put_in(compose.loaded(path), compose.example_values())
    for service in file["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (compose.ROOT / source).exists() if source.startswith(".") else source in file["volumes"]


@pytest.mark.parametrize("path", FILES)
def test_images_are_pinned(path: Path):
    """Every image has a version to the patch, those that are built here the version of the package."""
    for service in compose.put_in(compose.loaded(path), compose.example_values())["services"].values():
        if "image" in service:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", service["image"])


@EACH
def test_a_service_is_fenced_in(name: str):
    """Each service runs as a user of its own on a root that it cannot write, without any privilege, within limits."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name in ENDS else "unless-stopped")


@EACH
def test_a_service_says_how_it_is(name: str):
    """Each service has a health check, its own or the image's; one that another waits for has a condition to meet."""
    service = SERVICES[name]
    ours = service["image"] == OURS
    assert ("test" in service.get("healthcheck", {})) or ours
    for other, how in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ENDS else "service_healthy"
        assert how["condition"] == wanted
        assert how.get("required", True) is ("profiles" not in SERVICES[other] or "profiles" in service)


def test_databases_are_inside():
    """Stores are in networks alone that nothing leads into or out of; only nginx is open to the world."""
    internal = {name for name, network in STACK["networks"].items() if network.get("internal")}
    for name in STORES:
        assert set(SERVICES[name]["networks"]) <= internal
        assert "ports" not in SERVICES[name]
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"nginx", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])
    assert not set(SERVICES["nginx"]["networks"]) & set(SERVICES["postgres"]["networks"])


def test_profiles():
    """The profiles are those that `config generate --with` knows, and none of them is the stack itself."""
    told = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert told == set(PROFILES)
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {
        "qdrant",
        "redis",
        "prometheus",
        "grafana",
    }


def test_bodies_are_as_long_as_nginx_lets_through():
    """Nginx's limit of a body is the API's, which is the default."""
    config = (compose.ROOT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    most = SERVICES["api"]["environment"]["DIPTYCH_API_MAX_BODY_BYTES"]
    assert re.findall(r"client_max_body_size (\d+);", config) == [most]
    assert int(most) == ApiConfig().max_body_bytes


def test_grafana_finds_its_source_and_its_dashboard():
    """Grafana is provisioned with the Prometheus of the stack, and with the dashboard from where it is mounted."""
    folder = compose.ROOT / "deploy" / "grafana" / "provisioning"
    source = compose.loaded(folder / "datasources" / "prometheus.yml")["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    place = compose.loaded(folder / "dashboards" / "diptych.yml")["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/diptych.json:{place}/diptych.json:ro" in SERVICES["grafana"]["volumes"]


def test_prometheus_scrapes_what_serves_metrics():
    """What is scraped are the API and the worker at the ports that they serve, with the key that is mounted."""
    scrape = compose.loaded(compose.ROOT / "deploy" / "prometheus" / "stack.yml")["scrape_configs"][0]
    ports = {name: SERVICES[name]["command"][SERVICES[name]["command"].index(flag) + 1] for name, flag in PORTS}
    assert scrape["static_configs"] == [{"targets": [f"{name}:{port}" for name, port in ports.items()]}]
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/prometheus_key"
    for name in ports:
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_prometheus_takes_what_it_is_started_with():
    """Prometheus' own tool finds no fault with the configuration of the stack; its rules are tested beside it."""
    if shutil.which("promtool") is None and (why := installed("prometheus")):
        missing(why)
    program = str(shutil.which("promtool"))
    config = compose.ROOT / "deploy" / "prometheus" / "stack.yml"
    ran = subprocess.run(
        [program, "check", "config", "--syntax-only", config], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert f"--config.file={mounted[0]}" in SERVICES["prometheus"]["command"]
    assert Path(mounted[0]).with_name(compose.loaded(config)["rule_files"][0]).as_posix() in mounted


PORTS = (("api", "--port"), ("worker", "--metrics-port"))
