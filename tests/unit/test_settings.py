"""Settings: where they come from, their bounds, and that secrets stay secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from persistence.errors import ConfigurationError
from persistence.settings import PersistenceConfig
from persistence.urls import graph_source

URL = "postgresql://ada:hunter2@localhost/x"


def test_made_by_hand_it_reads_nothing(monkeypatch):
    """The environment has no say over settings that are made in code."""
    monkeypatch.setenv("DIPTYCH_RETRY_ATTEMPTS", "9")
    monkeypatch.setenv("DIPTYCH_VECTOR_URL", URL)
    config = PersistenceConfig()
    assert config.retry_attempts == 3
    assert config.vector_url is None


def test_load_reads_the_environment_under_what_is_given(monkeypatch):
    """What is given wins over the environment; what is given as None does not count as given."""
    monkeypatch.setenv("DIPTYCH_RETRY_ATTEMPTS", "9")
    monkeypatch.setenv("DIPTYCH_POOL_SIZE", "4")
    monkeypatch.setenv("DIPTYCH_VECTOR_URL", URL)
    config = PersistenceConfig.load(retry_attempts=5, pool_size=None)
    assert type(config) is PersistenceConfig
    assert (config.retry_attempts, config.pool_size) == (5, 4)
    assert config.vector_url is not None
    assert config.vector_url.get_secret_value() == URL


def test_the_names_that_people_know_have_their_defaults():
    """The settings that people coming from elsewhere look for are there."""
    config = PersistenceConfig()
    assert config.enable_graph_store
    assert not config.enable_auto_sync
    assert not config.rollback_on_partial_failure
    assert config.retry_attempts == 3
    assert config.retry_delay > 0
    assert config.max_content_bytes == 1_048_576
    assert config.write_timeout == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_attempts", "0"),
        ("retry_attempts", "x"),
        ("retry_delay", "-1"),
        ("write_timeout", "0"),
        ("write_timeout", "nan"),
        ("write_timeout", "inf"),
        ("batch_size", "0"),
        ("max_content_bytes", "0"),
        ("schema_name", 'x"; DROP SCHEMA'),
        ("schema_name", "Ünïcode"),
        ("embedding_dimension", "0"),
        ("embedding_dimension", "16001"),
        ("tombstone_age", "1"),
        ("enable_relay", "perhaps"),
    ],
)
def test_what_is_out_of_bounds_is_named(monkeypatch, name, value):
    """A wrong setting is one sentence with its name, from the environment and from code alike."""
    monkeypatch.setenv(f"DIPTYCH_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as caught:
        PersistenceConfig.load()
    assert name in caught.value.message
    monkeypatch.delenv(f"DIPTYCH_{name.upper()}")
    with pytest.raises(ConfigurationError, match=name):
        PersistenceConfig.load(**{name: value})


def test_a_wrong_value_is_not_repeated(monkeypatch):
    """A secret that was put under the wrong name is not shown."""
    monkeypatch.setenv("DIPTYCH_RETRY_ATTEMPTS", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        PersistenceConfig.load()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_unknown_settings_are_refused():
    """A misspelt setting is named instead of being dropped."""
    with pytest.raises(ConfigurationError, match="retry_attemps"):
        PersistenceConfig.load(retry_attemps=3)


def test_secrets_are_masked():
    """Neither a print nor a dump shows a password or a key."""
    config = PersistenceConfig.load(
        vector_url=URL,
        graph_url="neo4j://neo4j:hunter2@localhost",
        embedding_api_key="sk-hunter2",
        extraction_api_key="sk-hunter2",
    )
    for shown in (repr(config), str(config), str(config.model_dump()), config.model_dump_json()):
        assert "hunter2" not in shown


def test_settings_cannot_be_changed():
    """A service's settings are those it was made with."""
    with pytest.raises(ValidationError, match="frozen"):
        PersistenceConfig().retry_attempts = 4


def test_every_setting_says_what_it_is():
    """The reference is made of the descriptions, so each setting has one, and a default."""
    for name, field in PersistenceConfig.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


def test_no_environment_is_read_at_import():
    """Importing any of our modules looks at no variable of the environment."""
    code = """
import os, sys, importlib, pkgutil
import pydantic_settings, httpx, structlog, anyio, numpy, tenacity, neo4j, psycopg, psycopg_pool, pgvector.psycopg
seen = []
class Watched(dict):
    def _note(self, key):
        frame = sys._getframe(2)
        while frame and frame.f_code.co_filename.startswith("<frozen"):
            frame = frame.f_back
        if "persistence" in frame.f_code.co_filename:
            seen.append((frame.f_code.co_filename, key))
    def __getitem__(self, key):
        self._note(key)
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        self._note(key)
        return dict.get(self, key, default)
    def __contains__(self, key):
        self._note(key)
        return dict.__contains__(self, key)
os.environ = Watched(os.environ)
os.getenv = os.environ.get
import persistence
found = [m.name for m in pkgutil.walk_packages(persistence.__path__, "persistence.") if "__main__" not in m.name]
for name in found:
    importlib.import_module(name)
assert len(found) > 20, found
assert not seen, seen
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


@pytest.mark.parametrize(
    ("given", "environ", "graph"),
    [
        ({}, {}, "embedded://"),
        ({"vector_url": "embedded://"}, {}, "embedded://"),
        ({"vector_url": "postgresql://db/app"}, {}, "memory://"),
        ({}, {"DATABASE_URL": "postgresql://db/app"}, "memory://"),
        ({}, {"NEO4J_URI": "bolt://graph"}, "bolt://graph/"),
        ({"graph_url": "postgresql://db/graph"}, {}, "postgresql://db/graph"),
        ({"enable_graph_store": False}, {}, "none://"),
    ],
)
def test_the_graph_that_is_meant(given, environ, graph):
    """Where nothing is said of the graph it is beside the embedded truth; beside another truth, in memory."""
    assert graph_source(PersistenceConfig(**given), environ).url.get_secret_value() == graph


def test_every_default_is_allowed():
    """The defaults pass the checks that a given value has to pass."""
    assert PersistenceConfig.model_validate(PersistenceConfig().model_dump())
