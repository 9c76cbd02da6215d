"""One secret of each kind, and a content, are taken through failures of every part: none of them shows anywhere."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest
from pydantic import SecretStr

from api.access import WRITE
from api.access.gate import open_gate
from api.access.settings import AccessConfig
from api.masking import Masker
from api.telemetry.logs import log_to
from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.embedding.openai import OpenAIEmbedder
from persistence.errors import ConfigurationError
from sync.webhook import Webhook
from tests import planted
from tests.http.conftest import Client, client, keys, memories
from tests.http.keyring import Keys, bearer
from tests.openai_server import DIMENSION, openai_server, reset, status
from tests.telemetry.conftest import Telemetry, seen

__all__ = ["client", "keys", "memories", "seen"]

PASSWORD, OPENAI, QDRANT = "Okapi-pass-word/1", "sk-Quokka-key-2222", "Numbat-qdrant-key-3"
HOOK, JWT, CONTENT = "T0/Zorilla-hook-4", "Tarsier-" * 6, "Quagga drinks tea with Dodo"
EVERY = {"PASSWORD": PASSWORD, "OPENAI": OPENAI, "QDRANT": QDRANT, "HOOK": HOOK, "JWT": JWT, "CONTENT": CONTENT}
WRITTEN = quote(PASSWORD, safe="")
#: Nobody listens there.
NOBODY = "127.0.0.1:9"


def hidden(*texts: str) -> None:
    """See that no secret stands there, in any way of writing it."""
    for text in texts:
        shown = [name for name, secret in EVERY.items() if secret in text or quote(secret, safe="") in text]
        assert not shown


def everything(error: BaseException) -> str:
    """Return all that an error says, and all that lies under it, to whoever may print it (locals apart)."""
    return "\n".join((str(error), repr(error), repr(error.args), *traceback.format_exception(error)))


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """Keep every record of every library, as it is before any mask."""
    stream = io.StringIO()
    ours = log_to(stream, lambda text: text, level=logging.DEBUG)
    theirs = logging.StreamHandler(stream)
    logging.getLogger().addHandler(theirs)
    yield stream
    logging.getLogger("diptych").removeHandler(ours)
    logging.getLogger("diptych").setLevel(logging.NOTSET)
    logging.getLogger().removeHandler(theirs)
    hidden(stream.getvalue())


def _with_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"neo4j:{WRITTEN}@{parts.netloc.rpartition('@')[2]}").geturl()


@pytest.mark.parametrize(
    ("vector", "graph"),
    [
        (f"postgresql://u:{WRITTEN}@{NOBODY}/d", "none://"),
        (f"postgresql://u:{WRITTEN}@{NOBODY}/d?sslmode=nonsense", "none://"),
        (f"postgresql://u:{WRITTEN}@[::1/d", "none://"),
        (f"postgresql:///d?host=127.0.0.1&port=9&user=u&password={WRITTEN}", "none://"),
        (f"qdrant://{NOBODY}?api_key={QDRANT}", "none://"),
        (f"sqlite://u:{WRITTEN}@host/x", "none://"),
        (f"file://u:{WRITTEN}@host/x", "none://"),
        (f"nonsense://u:{WRITTEN}@{NOBODY}", "none://"),
        ("memory://", f"bolt://neo4j:{WRITTEN}@{NOBODY}"),
        ("memory://", f"neo4j+s://neo4j:{WRITTEN}@[::1"),
        ("memory://", f"postgresql://u:{WRITTEN}@{NOBODY}/d"),
        (f"postgresql://u@{NOBODY}/d?sslmode=verify-full&sslcert=/x&sslkey=/x&sslpassword={WRITTEN}", "none://"),
        (f"qdrants://{NOBODY}?sslcert=/x&sslkey=/x&sslpassword={WRITTEN}", "none://"),
        ("memory://", f"neo4j+s://{NOBODY}?sslcert=/x&sslkey=/x&sslpassword={WRITTEN}"),
    ],
)
async def test_stores_that_are_away(vector: str, graph: str) -> None:
    """A URL that is wrong, or leads nowhere, is told without its password, by the error, its causes and settings."""
    given = {"vector_url": vector, "graph_url": graph, "connect_timeout": 1.0, "retry_attempts": 1}
    config = PersistenceConfig(**given)
    service = None
    try:
        async with AsyncPersistenceService.connect(config=config) as service:
            health = await service.get_health()
            result = await service.store(CONTENT, user_id="u", timeout=2.0)
            hidden(repr(health), repr(result.outcome))
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not show anything
        hidden(everything(error))
    hidden(repr(config), str(config), repr(service))


async def test_a_wrong_password(clean_neo4j: str, seen: Telemetry) -> None:
    """A real server that refuses a password is told of without it; so are metrics, spans and lines."""
    config = PersistenceConfig(vector_url="memory://", graph_url=_with_password(clean_neo4j), connect_timeout=5.0)
    try:
        async with AsyncPersistenceService.connect(config=config, observer=seen.observer) as service:
            await service.store(CONTENT, user_id="u", timeout=5.0)
            hidden(repr(await service.get_health()))
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not show anything
        hidden(everything(error))
    hidden(await seen.page(), seen.stream.getvalue(), "".join(span.to_json() for span in seen.spans))


async def test_an_embedder_that_says_too_much() -> None:
    """What an endpoint says of a key and of a content stays out of the error, and of what lies under it."""
    told = f"the key {OPENAI} may not embed {CONTENT}".encode()
    with openai_server() as script:
        embedder = OpenAIEmbedder(script.url, "model", DIMENSION, SecretStr(OPENAI))
        for reply in (status(401, told), status(400, told), status(500, told), reset):
            for _ in range(6):
                script.then(reply)
            async with AsyncPersistenceService.connect("memory://", "memory://", embedder=embedder) as service:
                with pytest.raises(Exception) as caught:  # noqa: PT011  # what it says is what is looked at
                    await service.store(CONTENT, user_id="u", timeout=2.0)
            hidden(everything(caught.value), repr(embedder))


async def test_a_webhook() -> None:
    """The address of a webhook is its key: neither the hook nor a refusal of its address repeats it."""
    hidden(repr(Webhook(SecretStr(f"https://{NOBODY}/{HOOK}"))))
    with pytest.raises(ConfigurationError) as caught:
        Webhook(SecretStr(f"gopher://{HOOK}"))
    hidden(everything(caught.value))


async def test_keys_and_tokens(client: Client, keys: Keys, tmp_path: Path) -> None:
    """A key that is wrong, and a token that is, are answered without them; no answer holds the secret of tokens."""
    await keys.make("writer", WRITE)
    http = await client()
    right = jwt.encode({"exp": 99_999_999_999, "scope": "read"}, JWT, "HS256")
    for credential in (f"dk_{'0' * 16}_{PASSWORD}", PASSWORD, OPENAI, right, right[:-3], JWT, f"{right}.{JWT}"):
        answer = await http.get("/memories", params={"user_id": "u"}, headers=bearer(credential))
        hidden(answer.text, repr(answer.headers))
    config = AccessConfig(jwt_secret=SecretStr(JWT), keys_file=tmp_path / "none.json")
    gate = await open_gate(config, tmp_path)
    for credential in (right[:-3], JWT, PASSWORD):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # what it says is what is looked at
            await gate.identify(credential)
        hidden(everything(caught.value))
    hidden(repr(config), repr(gate))


COMMANDS = (
    ["status"],
    ["-v", "status"],
    ["doctor"],
    ["-v", "check", "--json"],
    ["-v", "store", CONTENT, "--user", "u"],
)


@pytest.mark.faults
@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: " ".join(args[:2]))
def test_the_command(tmp_path: Path, args: list[str]) -> None:
    """The installed command, talkative or not, prints none of what its environment holds, whatever is away."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DIPTYCH_HOME": str(tmp_path),
        "DIPTYCH_VECTOR_URL": f"postgresql://u:{WRITTEN}@{NOBODY}/d",
        "DIPTYCH_GRAPH_URL": f"bolt://neo4j:{WRITTEN}@{NOBODY}",
        "DIPTYCH_EMBEDDING_API_KEY": OPENAI,
        "DIPTYCH_SYNC_WEBHOOK_URL": f"https://hooks.invalid/{HOOK}",
        "DIPTYCH_API_JWT_SECRET": JWT,
        "QDRANT_API_KEY": QDRANT,
    }
    command = [Path(sys.executable).with_name("diptych"), *args]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=90
    )
    hidden(ran.stdout, ran.stderr)
    assert ran.stdout + ran.stderr


@pytest.mark.faults
@pytest.mark.parametrize("args", COMMANDS[:3], ids=lambda args: " ".join(args[:2]))
def test_the_command_with_secrets_in_files(tmp_path: Path, args: list[str]) -> None:
    """Nor does it print what is in the files that its environment names, in whatever state they are."""
    secrets = {
        "DIPTYCH_VECTOR_URL": f"postgresql://u:{WRITTEN}@{NOBODY}/d",
        "DIPTYCH_GRAPH_PASSWORD": PASSWORD,
        "DIPTYCH_EMBEDDING_API_KEY": OPENAI,
        "DIPTYCH_API_JWT_SECRET": JWT,
        "QDRANT_API_KEY": QDRANT,
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DIPTYCH_GRAPH_URL": f"bolt://neo4j@{NOBODY}"}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    command = [Path(sys.executable).with_name("diptych"), *args]
    for more in ({}, {"DIPTYCH_VECTOR_URL": secrets["DIPTYCH_VECTOR_URL"]}):
        ran = subprocess.run(
            command, capture_output=True, text=True, env=environment | more, cwd=tmp_path, check=False, timeout=90
        )
        hidden(ran.stdout, ran.stderr)
        assert ("Both DIPTYCH_VECTOR_URL" in ran.stdout + ran.stderr) == bool(more)


def test_a_mask_hides_them_all() -> None:
    """The mask of the command knows every secret of its environment, as written and as meant."""
    url = f"postgresql://u:{WRITTEN}@h/d"
    mask = Masker([url], {"QDRANT_API_KEY": QDRANT, "X_WEBHOOK_URL": HOOK, "A_SECRET": JWT, "OPENAI_API_KEY": OPENAI})
    texts = (url, PASSWORD, WRITTEN, QDRANT, HOOK, JWT, OPENAI)
    hidden(*map(mask, texts))


def test_the_run_is_watched(pytestconfig: pytest.Config) -> None:
    """What a test logs or prints is looked through for every secret that was planted, and fails the test."""
    planted.plant("Aardvark-planted", "a secret of this test's")
    report: Any = type(
        "Report", (), {"sections": [("Captured log call", "x Aardvark-planted y")], "outcome": "passed"}
    )()
    report.when = "call"
    planted.judge(report)
    assert (report.outcome, report.sections) == ("failed", [])
    assert "a secret of this test's" in report.longrepr
    with pytest.raises(AssertionError, match="a secret of this test's"):
        planted.check("Aardvark-planted")
    with pytest.raises(AssertionError):
        hidden(CONTENT)
