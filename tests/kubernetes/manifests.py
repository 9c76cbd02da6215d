"""The files of deploy/kubernetes, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
SETTINGS = FOLDER / "settings.env"
SECRETS = "/run/secrets/diptych"

Resource = dict[str, Any]


def named() -> dict[str, Resource]:
    """Return every resource by its kind and name."""
    found = {}
    for file in sorted(FOLDER.rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            for resource in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                found[f"{resource['kind']}/{resource['metadata']['name']}"] = resource
    return found


def of_kind(kind: str) -> Iterator[Resource]:
    """Yield the resources of a kind."""
    return (resource for resource in named().values() if resource["kind"] == kind)


def settings() -> dict[str, str]:
    """Return what settings.env says."""
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True)
class Pod:
    """What a deployment or a cron job makes pods of; each has one container."""

    name: str
    resource: Resource

    @property
    def template(self) -> Resource:
        """The template of its pods."""
        spec = self.resource["spec"]
        found: Resource = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
        return found

    @property
    def spec(self) -> Resource:
        """What a pod is."""
        spec: Resource = self.template["spec"]
        return spec

    @property
    def container(self) -> Resource:
        """The container."""
        (container,) = self.spec["containers"]
        return dict(container)

    @property
    def command(self) -> list[str]:
        """The line that the container runs."""
        return list(self.container["command"])

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the container has: those of the settings, and its own."""
        return settings() | {one["name"]: one["value"] for one in self.container["env"]}

    @property
    def port(self) -> int | None:
        """The port that the container opens, None where it opens none."""
        ports = self.container.get("ports", [])
        return ports[0]["containerPort"] if ports else None


def pods() -> dict[str, Pod]:
    """Return what makes pods, by name."""
    makers = [*of_kind("Deployment"), *of_kind("CronJob")]
    return {maker["metadata"]["name"]: Pod(maker["metadata"]["name"], maker) for maker in makers}
