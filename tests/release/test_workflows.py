"""The workflows for GitHub: valid, with pinned actions and few permissions, calling targets that there are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests import conftest as servers
from tests.release.conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "github-workflow.json").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


class Loader(yaml.SafeLoader):
    """YAML as GitHub reads it: `on` is a word, not a truth value."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
TEXTS = {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.iterdir())}
WORKFLOWS = {name: yaml.load(text, Loader) for name, text in TEXTS.items()}  # noqa: S506  # a safe loader
JOBS = {f"{name}/{job}": about for name, workflow in WORKFLOWS.items() for job, about in workflow["jobs"].items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_valid(name):
    """Each is valid by the schema of workflows."""
    jsonschema.Draft7Validator(SCHEMA).validate(WORKFLOWS[name])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned(name):
    """Each action is named by a commit, which nobody can move, with the version beside it; the same one everywhere."""
    uses = re.findall(r"uses: (\S+)@(\S+)(?: # (\S+))?", TEXTS[name])
    assert uses
    assert len(uses) == TEXTS[name].count("uses:")
    for action, commit, version in uses:
        assert re.fullmatch(r"[0-9a-f]{40}", commit), action
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version), action
    everywhere = re.findall(r"uses: (\S+)@(\S+)", "\n".join(TEXTS.values()))
    assert len(set(everywhere)) == len({action for action, _ in everywhere})


def test_permissions_are_given_one_by_one():
    """A workflow may nothing; a job what it needs, and none may write but what publishes."""
    assert all(workflow["permissions"] == {} for workflow in WORKFLOWS.values())
    writing = {name: {what for what, how in job["permissions"].items() if how == "write"} for name, job in JOBS.items()}
    assert {name: what for name, what in writing.items() if what} == {
        "release/attest": {"id-token", "attestations"},
        "release/publish": {"id-token"},
        "release/announce": {"contents"},
        "docs/publish": {"pages", "id-token"},
    }
    for name, job in JOBS.items():
        assert job["timeout-minutes"] <= 45, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
                assert job["permissions"] == {"contents": "read"}


def test_no_expression_becomes_a_command():
    """What others can write (names of branches and tags) reaches a shell as a variable, never as a part of a line."""
    assert not [step["run"] for step in STEPS if "${{" in step.get("run", "")]


def test_each_target_is_there():
    """Every call of make is of a target that the Makefile has, with the Python that the job has set up."""
    lines = [shlex.split(line) for step in STEPS for line in step.get("run", "").splitlines()]
    calls = [line[line.index("make") :] for line in lines if "make" in line]
    assert {call[1] for call in calls} >= {"lint", "test", "dist", "dist-tag", "docs"}
    for call in calls:
        assert call[1] in TARGETS
        assert "PYTHONS=python" in call


def test_the_matrix_is_what_the_project_promises(project):
    """The tests run on each Python that the metadata name, from the oldest that is required."""
    promised = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["project"]["classifiers"]), re.MULTILINE)
    assert JOBS["test/test"]["strategy"]["matrix"]["python"] == promised
    assert project["project"]["requires-python"] == f">={promised[0]}"


def test_the_servers_are_those_of_the_tests():
    """Postgres and Neo4j are the images that the tests start themselves; each server's URL is a variable they read."""
    job = JOBS["test/test"]
    services = job["services"]
    assert services["postgres"]["image"] == servers.POSTGRES_IMAGE
    assert services["neo4j"]["image"] == servers.NEO4J_IMAGE
    assert services["qdrant"]["image"].startswith("qdrant/qdrant:v")
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    for name, url in job["env"].items():
        assert f'"{name}"' in text
        port = url.split("127.0.0.1:")[1].split("/")[0]
        assert f"{port}:{port}" in [one for service in services.values() for one in service["ports"]]


def test_a_release_is_checked_before_anything_leaves():
    """A tag alone starts a release; what is published was built once, after the tag, and checked, then attested."""
    workflow = WORKFLOWS["release"]
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    order = {name: job.get("needs") for name, job in workflow["jobs"].items()}
    assert order == {"build": None, "attest": "build", "publish": "attest", "announce": "publish"}
    runs = [step["run"].split()[1] for step in workflow["jobs"]["build"]["steps"] if "run" in step]
    assert runs == ["dist-tag", "dist", "test-long"]
    assert workflow["jobs"]["publish"]["environment"] == "pypi"
