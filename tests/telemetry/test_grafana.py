"""The dashboard by Grafana's own schemas: it, its panels' options, its queries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.telemetry.test_deploy import DASHBOARD, panels

SCHEMAS = Path(__file__).with_name("grafana")
#: In their schema a variable's query is a text, or fields that have fields; Grafana itself writes fields with texts.
LOOSE = {"anyOf": [{"type": "string"}, {"type": "object"}]}
EACH = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.jsonschema.json").read_text("utf-8"))


def part(name: str, definition: str) -> Draft7Validator:
    """Return what looks at one kind of thing, and refuses what that does not have."""
    return Draft7Validator({**schema(name), "$ref": f"#/definitions/{definition}"})


def faults(validator: Draft7Validator, value: Any) -> list[str]:
    """Return what is wrong. What has a default is required there, too, and Grafana puts it in."""
    found = [error for error in validator.iter_errors(value) if error.validator != "required"]
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_dashboard() -> None:
    """The dashboard has what Grafana's dashboards have, and nothing that they do not know."""
    known = schema("dashboard")
    known["definitions"]["VariableModel"]["properties"]["query"] = LOOSE
    assert faults(Draft7Validator(known), json.loads(DASHBOARD.read_text("utf-8"))) == []


@EACH
def test_a_panel(panel: dict[str, Any]) -> None:
    """The options of a panel, those of its fields, and its queries are what its kind has."""
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    told = faults(part(panel["type"], "Options"), panel["options"])
    if custom:
        told += faults(part(panel["type"], "FieldConfig"), custom)
    for target in panel["targets"]:
        told += faults(part("prometheus", "Dataquery"), target)
    assert told == []
