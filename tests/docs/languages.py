"""Blocks that are no program of the page's: data that has to be what its language says, and queries, which are run."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import psycopg
import yaml
from cronsim import CronSim

from tests.conftest import neo4j_driver


class Around(Protocol):
    """What a block may need of the page that it stands in."""

    environment: dict[str, str]
    places: dict[str, str]

    def succeed(self, command: str) -> str:
        """Run a command that has to end well; return what it printed."""
        ...


def _cron(text: str, page: Around) -> None:
    for line in text.splitlines():
        *when, command = line.split(None, 5)
        next(CronSim(" ".join(when), datetime.now(UTC)))
        page.succeed(command)


def _sql(text: str, page: Around) -> None:
    path = f"{page.environment['DIPTYCH_SCHEMA_NAME']},public"  # a schema that is not there yet is passed over
    with psycopg.connect(page.environment["DIPTYCH_VECTOR_URL"], autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [path])
        connection.execute(text)


def _cypher(text: str, page: Around) -> None:
    with neo4j_driver(page.places["neo4j://…"]) as driver, driver.session() as session:
        session.run(text).consume()


def _ini(text: str, _: Around) -> None:
    # A file of systemd has sections, one of an environment has none.
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text if text.startswith("[") else f"[environment]\n{text}")


LANGUAGES: dict[str, Callable[[str, Around], Any]] = {
    "json": lambda text, _: json.loads(text),
    "yaml": lambda text, _: list(yaml.safe_load_all(text)),
    "toml": lambda text, _: tomllib.loads(text),
    "ini": _ini,
    "sql": _sql,
    "cypher": _cypher,
    "cron": _cron,
    "text": lambda *_: None,
}
