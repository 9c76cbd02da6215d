"""Secrets from files: which settings have them, what is refused, and that nothing of a file shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.access.settings import AccessConfig
from api.cli.backing.passphrase import given
from api.http.settings import ApiConfig
from api.masking import Masker
from persistence import urls
from persistence.backends import vector_backend
from persistence.errors import ConfigurationError
from persistence.secretfiles import LONGEST, is_secret, secret
from persistence.settings import PersistenceConfig
from tests import planted

SECRET = "Pangolin-secret-from-a-file-0123456789"  # noqa: S105
URL = f"postgresql://ada:{SECRET}@db/app"

EVERY = [
    *((PersistenceConfig, f"DIPTYCH_{name.upper()}", name) for name in PersistenceConfig.model_fields),
    *((ApiConfig, f"DIPTYCH_API_{name.upper()}", name) for name in ApiConfig.model_fields),
    *((AccessConfig, f"DIPTYCH_API_{name.upper()}", name) for name in AccessConfig.model_fields),
]
SETTINGS = [one for one in EVERY if is_secret(one[0].model_fields[one[2]])]
NAMES = [f"{made.__name__}-{name}" for made, _, name in SETTINGS]
#: Settings that are refused unless they have a form.
FORMS = {"rate_limit_storage": "redis://:{}@cache"}


def formed(name: str, text: str) -> str:
    """Return a text in the form that the setting has."""
    return FORMS.get(name, "{}").format(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    planted.plant(SECRET, "a secret from a file")
    path = tmp_path / "a-secret"
    path.write_text(f"{SECRET}\n")
    return path


def refusal(call: Callable[[], object]) -> str:
    """Return what is said, the hint included; neither shows the secret."""
    with pytest.raises(ConfigurationError) as caught:
        call()
    said = f"{caught.value} {caught.value.hint}"
    assert SECRET not in f"{said} {caught.value!r} {caught.value.__cause__!r}"
    return said


def test_the_secrets_are_known() -> None:
    """What is looked at here is every secret of every setting; a new one joins by its type."""
    assert {variable for _, variable, _ in SETTINGS} == {
        "DIPTYCH_VECTOR_URL",
        "DIPTYCH_GRAPH_URL",
        "DIPTYCH_VECTOR_PASSWORD",
        "DIPTYCH_GRAPH_PASSWORD",
        "DIPTYCH_SYNC_WEBHOOK_URL",
        "DIPTYCH_EMBEDDING_API_KEY",
        "DIPTYCH_EMBEDDING_CACHE_URL",
        "DIPTYCH_EXTRACTION_API_KEY",
        "DIPTYCH_API_JWT_SECRET",
        "DIPTYCH_API_RATE_LIMIT_STORAGE",
        "DIPTYCH_API_SESSION_SECRET",
    }


@pytest.mark.parametrize(("made", "variable", "name"), SETTINGS, ids=NAMES)
def test_from_a_file(
    made: type[BaseModel], variable: str, name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each secret setting may be in a file, without the newline at its end, and is masked as any other."""
    file.write_text(f"{formed(name, SECRET)}\n")
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    config = made.load()  # type: ignore[attr-defined]  # every one of them has it
    assert getattr(config, name).get_secret_value() == formed(name, SECRET)
    planted.check(repr(config), str(config), config.model_dump_json())


@pytest.mark.parametrize(("made", "variable", "name"), SETTINGS, ids=NAMES)
def test_both_are_refused(
    made: type[BaseModel], variable: str, name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and its file at once are refused, by both names; what is given in code is above both."""
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    monkeypatch.setenv(variable, SECRET)
    said = refusal(made.load)  # type: ignore[attr-defined]  # every one of them has it
    assert variable in said
    assert str(file) in said
    other = formed(name, "given-in-code-and-long-enough-for-all")
    config = made.load(**{name: other})  # type: ignore[attr-defined]  # every one of them has it
    assert getattr(config, name).get_secret_value() == other


def _missing(folder: Path) -> str:
    return str(folder / "nowhere")


def _empty(folder: Path) -> str:
    (folder / "empty").write_text("\n")
    return str(folder / "empty")


def _folder(folder: Path) -> str:
    return str(folder)


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def _no_text(folder: Path) -> str:
    (folder / "bytes").write_bytes(SECRET.encode() + b"\xff\xfe")
    return str(folder / "bytes")


def _endless(folder: Path) -> str:
    (folder / "long").write_text(SECRET * (LONGEST // len(SECRET) + 1))
    return str(folder / "long")


def _no_path(folder: Path) -> str:  # as every case
    return "~nobody-of-this-name/secret"


UNUSABLE = {
    _missing: "cannot be read (No such file",
    _empty: "is empty",
    _folder: "cannot be read (it is no file",
    _pipe: "cannot be read (it is no file",
    _no_text: "cannot be read (it is no text",
    _endless: "is longer than",
    _no_path: "cannot be read",
}


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case.__name__.strip("_"))
def test_a_file_that_cannot_be_used(
    case: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read, or holds nothing, is one sentence with the variable and the path."""
    path = case(tmp_path)
    monkeypatch.setenv("DIPTYCH_VECTOR_URL_FILE", path)
    said = refusal(PersistenceConfig.load)
    assert f"The file {path} that DIPTYCH_VECTOR_URL_FILE names {UNUSABLE[case]}" in said


def test_an_empty_variable_is_not_set(file: Path) -> None:
    """A variable that is there without a value, as compose files leave it, stands in nobody's way."""
    assert secret({"X": "", "X_FILE": str(file)}, "X") == SECRET
    assert secret({"X": "x", "X_FILE": ""}, "X") == "x"
    assert secret({}, "X") is None


@pytest.mark.parametrize(("written", "meant"), [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")])
def test_one_newline_goes(tmp_path: Path, written: str, meant: str) -> None:
    """What is in the file is the value, one newline at its end apart: nothing else of a password is touched."""
    path = tmp_path / "x"
    path.write_bytes(written.encode())
    assert secret({"X_FILE": str(path)}, "X") == meant


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"DATABASE_URL_FILE": "url"}, URL),
        ({"POSTGRES_HOST": "db", "POSTGRES_USER": "ada", "POSTGRES_DB": "app", "POSTGRES_PASSWORD_FILE": "word"}, URL),
        ({"QDRANT_URL_FILE": "qdrant"}, "qdrants://db"),
    ],
    ids=["DATABASE_URL", "POSTGRES_PASSWORD", "QDRANT_URL"],
)
def test_names_of_others(environ: dict[str, str], url: str, tmp_path: Path) -> None:
    """The variables that people have already may name files, too, as the images of those servers take them."""
    for name, content in {"url": URL, "word": SECRET, "qdrant": "https://db"}.items():
        (tmp_path / name).write_text(content)
    found = {name: str(tmp_path / value) if name.endswith("_FILE") else value for name, value in environ.items()}
    assert urls.vector_source(PersistenceConfig(), found).url.get_secret_value() == url


def test_neo4js_password(file: Path) -> None:
    """So may Neo4j's."""
    environ = {"NEO4J_URI": "neo4j+s://graph?sslrootcert=/ca.pem", "NEO4J_PASSWORD_FILE": str(file)}
    found = urls.graph_source(PersistenceConfig(), environ).url.get_secret_value()
    assert found == f"neo4j+s://neo4j:{SECRET}@graph/?sslrootcert=/ca.pem"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("postgresql://ada@db:5433/app?sslmode=require", "postgresql://ada:p%2F%40%20w@db:5433/app?sslmode=require"),
        ("postgresql://ada@db1,db2:5433/app", "postgresql://ada:p%2F%40%20w@db1,db2:5433/app"),
        ("postgresql:///app?host=/run", "postgresql://:p%2F%40%20w@/app?host=/run"),
        ("qdrants://host:6333/x", "qdrants://:p%2F%40%20w@host:6333/x"),
        ("qdrant:///folder", "qdrant:///folder"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("postgresql://ada:own@db/app", "postgresql://ada:own@db/app"),
    ],
)
def test_a_password_apart_from_its_url(url: str, whole: str) -> None:
    """The password goes into a URL that names a server and has none; one that is there stays."""
    config = PersistenceConfig(vector_url=url, vector_password="p/@ w")  # noqa: S106
    assert urls.vector_source(config, {}).url.get_secret_value() == whole


def test_the_graphs_password_apart() -> None:
    """The graph's password is its own."""
    config = PersistenceConfig(graph_url="neo4j+s://neo4j@graph/db", graph_password="hunter2", vector_password="x")  # noqa: S106
    assert urls.graph_source(config, {}).url.get_secret_value() == "neo4j+s://neo4j:hunter2@graph/db"


async def test_the_passphrase_of_backups(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own secret is read the same way, and refused the same way."""
    monkeypatch.setenv("DIPTYCH_BACKUP_PASSPHRASE_FILE", str(file))
    assert await given(None) == SECRET
    monkeypatch.setenv("DIPTYCH_BACKUP_PASSPHRASE", SECRET)
    with pytest.raises(ConfigurationError, match="DIPTYCH_BACKUP_PASSPHRASE_FILE"):
        await given(None)


def test_what_is_in_files_is_masked(file: Path, tmp_path: Path) -> None:
    """What the command prints is freed of secrets from files as of those of the environment."""
    (tmp_path / "url").write_text("neo4j://neo4j:Zebu-pass@graph\n")
    mask = Masker(
        [],
        {
            "DIPTYCH_API_SESSION_SECRET_FILE": str(file),
            "DIPTYCH_GRAPH_URL_FILE": str(tmp_path / "url"),
            "DIPTYCH_VECTOR_PASSWORD_FILE": str(tmp_path / "nowhere"),
        },
    )
    assert mask(f"{SECRET} and Zebu-pass") == "*** and ***"


def test_a_secret_in_the_place_of_a_url() -> None:
    """What was put where a URL belongs is not repeated: it may be the password."""
    assert urls.mask(SECRET) == "…"
    said = refusal(lambda: vector_backend(SECRET))
    assert "names no vector store" in said
