"""The secrets of the production stack: a file each, in one folder that nobody but its owner can enter.

Compose shows a container the file as it is here, owner and mode included, and each image has a user of its own. So
the files can be read by whoever gets to them, and the folder lets nobody through.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.cli.configuring.envfile import read_text
from persistence.errors import ConfigurationError
from persistence.local.server import write_whole

FOLDER_MODE, FILE_MODE = 0o700, 0o444
#: Of those that others' programs read.
QDRANT, REDIS, MONITORING = "qdrant", "redis", "monitoring"
PROFILES = (QDRANT, REDIS, MONITORING)

Chosen = frozenset[str]
Known = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Secret:
    """One file. ``make`` gets the profiles and the secrets above it; None: it is not ours to make."""

    name: str
    make: Callable[[Chosen, Known], str] | None
    hint: str = "diptych config generate"
    #: Only with this profile.
    profile: str | None = None
    may_be_empty: bool = False

    def wanted(self, chosen: Chosen) -> bool:
        """Say whether the stack needs it with these profiles."""
        return self.profile is None or self.profile in chosen


def _random(_: Chosen, __: Known) -> str:
    """Make 256 random bits, in letters that need no quoting in a URL or in any file."""
    return secrets.token_hex(32)


def _empty(_: Chosen, __: Known) -> str:
    return ""


def _neo4j_auth(_: Chosen, __: Known) -> str:
    return f"neo4j/{secrets.token_hex(32)}"


def _qdrant_config(_: Chosen, __: Known) -> str:
    return f"service:\n  api_key: {secrets.token_hex(32)}\n"


def _redis_config(_: Chosen, __: Known) -> str:
    return f"requirepass {secrets.token_hex(32)}\n"


def _vector_url(chosen: Chosen, known: Known) -> str:
    if QDRANT in chosen:
        return f"qdrant://:{last_word(known['qdrant_config'])}@qdrant:6333/diptych"
    return f"postgresql://diptych:{known['postgres_diptych_password']}@postgres:5432/diptych"


def _graph_url(_: Chosen, known: Known) -> str:
    return f"bolt://neo4j:{known['neo4j_auth'].partition('/')[2]}@neo4j:7687/neo4j"


def _rate_limit_storage(chosen: Chosen, known: Known) -> str:
    return f"redis://:{last_word(known['redis_config'])}@redis:6379/0" if REDIS in chosen else "memory://"


def last_word(text: str) -> str:
    """Return what a file of one setting sets."""
    return text.rpartition(" ")[2]


_OF_CERTIFICATES = "docs/how-to/deploy.md says how to get a certificate, or how to make one"
_OF_KEYS = "docker compose run --rm --no-deps -T api keys create prometheus --scope read > secrets/prometheus_key"

#: In the order in which they are made.
SECRETS = (
    Secret("postgres_password", _random),
    Secret("postgres_diptych_password", _random),
    Secret("neo4j_auth", _neo4j_auth),
    Secret("qdrant_config", _qdrant_config, profile=QDRANT),
    Secret("redis_config", _redis_config, profile=REDIS),
    Secret("grafana_password", _random, profile=MONITORING),
    Secret("session_secret", _random),
    Secret("backup_passphrase", _random),
    Secret("vector_url", _vector_url),
    Secret("graph_url", _graph_url),
    Secret("rate_limit_storage", _rate_limit_storage),
    Secret("embedding_api_key", _empty, may_be_empty=True),
    Secret("extraction_api_key", _empty, may_be_empty=True),
    Secret("tls_certificate", None, _OF_CERTIFICATES),
    Secret("tls_key", None, _OF_CERTIFICATES),
    Secret("prometheus_key", None, _OF_KEYS, profile=MONITORING),
)


def make_missing(folder: Path, chosen: Chosen) -> list[str]:
    """Make the secrets that are not there, and return their names; what is there stays. Raises ConfigurationError."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    _shut(folder)
    known: dict[str, str] = {}
    made: list[str] = []
    for secret in SECRETS:
        path = folder / secret.name
        if path.exists():
            known[secret.name] = read_text(path).strip()
        elif secret.make is not None:
            known[secret.name] = secret.make(chosen, known)
            write_new(path, known[secret.name], FILE_MODE)
            made.append(secret.name)
    return made


def _shut(folder: Path) -> None:
    """Let nobody but its owner into a folder. Raises ConfigurationError where others may need what is in it."""
    if not stat.S_IMODE(folder.stat().st_mode) & ~FOLDER_MODE:
        return
    ours = {secret.name for secret in SECRETS}
    if strangers := sorted(path.name for path in folder.iterdir() if path.name not in ours):
        raise ConfigurationError(
            f"Others can enter {folder}, and more than secrets is in it: {strangers[0]}.",
            hint="name a folder of its own in DIPTYCH_SECRETS",
        )
    folder.chmod(FOLDER_MODE)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file, which is its owner's alone until it is whole."""
    write_whole(path, text if text.endswith("\n") or not text else f"{text}\n")
    path.chmod(mode)
