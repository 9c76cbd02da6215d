"""Compose files as Compose reads them: anchors merged, variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from api.cli.configuring.envfile import EXAMPLE, variables

ROOT = Path(__file__).parents[2]
PRODUCTION, DEVELOPMENT = ROOT / "docker-compose.production.yml", ROOT / "docker-compose.dev.yml"
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::\?[^}]*)?\}|\$\$")


def loaded(path: Path) -> dict[str, Any]:
    """Return a file with its variables as they stand."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def put_in(value: Any, given: Mapping[str, str]) -> Any:
    """Return the same with each variable's value; a name without a value takes the variable of its name, if any."""
    if isinstance(value, dict):
        filled = {name: put_in(one, given) for name, one in value.items()}
        if isinstance(value.get("environment"), dict):
            filled["environment"] = _environment(value["environment"], given)
        return filled
    if isinstance(value, list):
        return [put_in(one, given) for one in value]
    return _VARIABLE.sub(lambda found: given[found[1]] if found[1] else "$", value) if isinstance(value, str) else value


def _environment(values: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    passed = {name: given[name] for name, value in values.items() if value is None and name in given}
    return {**{name: put_in(value, given) for name, value in values.items() if value is not None}, **passed}


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a file."""
    if isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def used(file: Mapping[str, Any]) -> set[str]:
    """Return the variables that a file takes from its surroundings."""
    named = {found[1] for text in texts(file) for found in _VARIABLE.finditer(text) if found[1]}
    passed = {
        name
        for service in file["services"].values()
        if isinstance(environment := service.get("environment"), dict)
        for name, value in environment.items()
        if value is None
    }
    return named | passed


def example_values(name: str = "memories.example.org") -> dict[str, str]:
    """Return what the example sets, with a name where it has a placeholder."""
    example = variables((ROOT / EXAMPLE).read_text(encoding="utf-8"))
    return {one.name: one.value for one in example if not one.optional} | {"DIPTYCH_NAME": name}


def production(given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the production stack with what the example sets."""
    return put_in(loaded(PRODUCTION), given or example_values())
