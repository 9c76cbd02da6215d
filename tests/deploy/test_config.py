"""`config generate` and `config check`: what they make, what stays, and what is refused."""

from __future__ import annotations

import base64
import os
import random
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.cli.configuring.checking import check
from api.cli.configuring.envfile import ENV, EXAMPLE, read_env
from api.cli.configuring.generating import generate
from api.cli.configuring.secret_files import SECRETS
from persistence.errors import ConfigurationError
from tests.deploy.compose import ROOT

NAME = "memories.example.org"


def certify(folder: Path, name: str = NAME, days: int = 30) -> None:
    """Put a self-made certificate and its key among the secrets."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    put(folder, "tls_certificate", made.public_bytes(serialization.Encoding.PEM).decode())
    put(folder, "tls_key", key.private_bytes(*form).decode())


def put(folder: Path, name: str, text: str) -> None:
    """Write a secret, as readable as it is to be."""
    path = folder / "secrets" / name
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o444)


def change(folder: Path, old: str, new: str) -> None:
    """Change the file of variables."""
    text = (folder / ENV).read_text()
    assert old in text
    (folder / ENV).write_text(text.replace(old, new))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a folder with the example."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / EXAMPLE, tmp_path / EXAMPLE)
    return tmp_path


@pytest.fixture
def whole(checkout: Path) -> Path:
    """Give one in which everything is right."""
    generate(checkout, {"DIPTYCH_NAME": NAME, "COMPOSE_PROFILES": "qdrant,redis,monitoring"})
    certify(checkout)
    put(checkout, "prometheus_key", "dk_1_2")
    assert check(checkout) == []
    return checkout


def told(folder: Path) -> list[str]:
    """Return what `config check` finds, without the folder's path."""
    return [f"{one.where}: {one.message}".replace(f"{folder}/", "") for one in check(folder)]


def test_what_is_generated(checkout: Path):
    """All that the example names is there with its comments, for the owner alone; no secret is like another."""
    made = generate(checkout, {"DIPTYCH_NAME": NAME})
    assert made.env
    assert (checkout / ENV).read_text() == (checkout / EXAMPLE).read_text().replace("<memories.example.org>", NAME)
    assert stat.S_IMODE((checkout / ENV).stat().st_mode) == 0o600
    assert stat.S_IMODE((checkout / "secrets").stat().st_mode) == 0o700
    files = {path.name: path.read_text().strip() for path in (checkout / "secrets").iterdir()}
    assert set(files) == {secret.name for secret in SECRETS if secret.make is not None}
    random = [files[name] for name in ("postgres_password", "postgres_diptych_password", "session_secret")]
    assert all(len(set(one)) > 8 and len(one) == 64 for one in random)
    assert len(set(random)) == len(random)
    assert files["postgres_diptych_password"] in files["vector_url"]
    assert files["neo4j_auth"].removeprefix("neo4j/") in files["graph_url"]


def test_generating_again_changes_nothing(whole: Path):
    """What is there stays, byte by byte, and what somebody wrote is never overwritten."""
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    made = generate(whole, {"DIPTYCH_NAME": NAME})
    assert (made.env, made.added, made.secrets) == (False, (), ())
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigurationError, match="with another DIPTYCH_NAME"):
        generate(whole, {"DIPTYCH_NAME": "other.example.org"})


def test_generating_completes(whole: Path):
    """A variable that a newer example has, and a secret that is gone, are added; the rest stays."""
    with (whole / EXAMPLE).open("a") as file:
        file.write("\n# What it is for.\nDIPTYCH_NEW=7\n")
    (whole / "secrets" / "session_secret").unlink()
    assert told(whole) == ["DIPTYCH_NEW: It is missing.", "secrets/session_secret: There is no such file."]
    made = generate(whole, {})
    assert (made.env, made.added, made.secrets) == (False, ("DIPTYCH_NEW",), ("session_secret",))
    assert (whole / ENV).read_text().endswith("\n\n# What it is for.\nDIPTYCH_NEW=7\n")
    assert check(whole) == []


def test_without_a_name(checkout: Path):
    """A placeholder is never written: without a name nothing is made."""
    with pytest.raises(ConfigurationError, match="The name under which the stack is reached is needed"):
        generate(checkout, {})
    assert not (checkout / ENV).exists()


@pytest.mark.parametrize("name", ["", "a b", "a\nDIPTYCH_RATE_LIMIT=", "https://a.example", "-a", "<a>"], ids=repr)
def test_a_name_that_is_none(checkout: Path, name: str):
    """What is no name of a host is never written, least of all what would be another variable."""
    with pytest.raises(ConfigurationError, match="is no name of a host"):
        generate(checkout, {"DIPTYCH_NAME": name})
    assert not (checkout / ENV).exists()


def test_a_folder_of_other_things_is_not_shut(checkout: Path):
    """Secrets go into no folder that others need: it stays as it is. One of secrets alone is shut for others."""
    generate(checkout, {"DIPTYCH_NAME": NAME})
    change(checkout, "DIPTYCH_SECRETS=./secrets", "DIPTYCH_SECRETS=.")
    checkout.chmod(0o755)
    with pytest.raises(ConfigurationError, match="more than secrets is in it"):
        generate(checkout, {})
    assert stat.S_IMODE(checkout.stat().st_mode) == 0o755
    assert not (checkout / "vector_url").exists()
    change(checkout, "DIPTYCH_SECRETS=.", "DIPTYCH_SECRETS=./secrets")
    (checkout / "secrets").chmod(0o755)
    generate(checkout, {})
    assert stat.S_IMODE((checkout / "secrets").stat().st_mode) == 0o700


def test_variables_that_are_no_file(checkout: Path):
    """A pipe or a folder in the place of the variables is refused, and nobody waits for it."""
    os.mkfifo(checkout / ENV)
    for command in (lambda: check(checkout), lambda: generate(checkout, {"DIPTYCH_NAME": NAME})):
        with pytest.raises(ConfigurationError, match="it is no file"):
            command()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of what may be in them
def test_a_damaged_certificate_has_its_sentence(whole: Path):
    """Whatever byte of a certificate or of its key is another one, what is found are sentences, and no error."""
    rng = random.Random(8)
    kept = {name: (whole / "secrets" / name).read_text() for name in ("tls_certificate", "tls_key")}
    for name, text in kept.items():
        head, *lines, tail = text.splitlines()
        body = base64.b64decode("".join(lines))
        for _ in range(200):
            other = bytearray(body)
            other[rng.randrange(len(other))] = rng.randrange(256)
            put(whole, name, f"{head}\n{base64.encodebytes(other).decode()}{tail}\n")
            assert all(one.hint for one in check(whole))
        put(whole, name, text)


def test_the_example_itself_is_refused(whole: Path):
    """The example as it is, taken for the real thing, is refused for its placeholder."""
    shutil.copy(whole / EXAMPLE, whole / ENV)
    assert "DIPTYCH_NAME: It is the example's placeholder." in told(whole)


TROUBLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a variable is missing": (
        lambda at: change(at, "DIPTYCH_HTTPS_PORT=443\n", ""),
        "DIPTYCH_HTTPS_PORT: It is missing.",
    ),
    "a variable is empty": (lambda at: change(at, "TIMEZONE=UTC", "TIMEZONE="), "DIPTYCH_TIMEZONE: It is empty."),
    "a variable is misspelt": (
        lambda at: change(at, "#DIPTYCH_EMBEDDING_URL=", "DIPTYCH_EMBEDING_URL="),
        "DIPTYCH_EMBEDING_URL: There is no such variable.",
    ),
    "a port is none": (lambda at: change(at, "PORT=443", "PORT=443x"), "DIPTYCH_HTTPS_PORT: It must be a port."),
    "a subnet is none": (
        lambda at: change(at, "172.30.77.0/28", "172.30.77.0/2"),
        "DIPTYCH_FRONT_SUBNET: It must be a network such as 172.30.77.0/28.",
    ),
    "a schedule is none": (
        lambda at: change(at, "EVERY=0 2 * * *", "EVERY=nightly"),
        "DIPTYCH_BACKUP_EVERY: It must be a cron expression, or an interval such as 6h.",
    ),
    "a policy is none": (
        lambda at: change(at, "report_only\n", "mend\n"),
        "DIPTYCH_SYNC_POLICY: It must be none, report_only or repair.",
    ),
    "a profile is none": (
        lambda at: change(at, "redis,monitoring", "redis,monitoring,grafana"),
        "COMPOSE_PROFILES: There is no profile grafana.",
    ),
    "searches are kept in a Redis that is not started": (
        lambda at: (
            change(at, "#DIPTYCH_EMBEDDING_CACHE_URL_FILE=", "DIPTYCH_EMBEDDING_CACHE_URL_FILE="),
            change(at, "qdrant,redis,monitoring", "qdrant,monitoring"),
            put(at, "rate_limit_storage", "memory://"),
        ),
        "DIPTYCH_EMBEDDING_CACHE_URL_FILE: It leads to Redis, which is not started.",
    ),
    "others can read the variables": (lambda at: (at / ENV).chmod(0o644), ".env: Others than its owner can read it."),
    "others can reach the secrets": (
        lambda at: (at / "secrets").chmod(0o755),
        "secrets: Others than its owner can enter it.",
    ),
    "a secret is missing": (
        lambda at: (at / "secrets" / "session_secret").unlink(),
        "secrets/session_secret: There is no such file.",
    ),
    "a secret is empty": (lambda at: put(at, "session_secret", "\n"), "secrets/session_secret: It is empty."),
    "a secret is a placeholder": (
        lambda at: put(at, "session_secret", "<a secret>"),
        "secrets/session_secret: It is a placeholder.",
    ),
    "a secret is for its owner alone": (
        lambda at: (at / "secrets" / "session_secret").chmod(0o600),
        "secrets/session_secret: The container's user cannot read it.",
    ),
    "a secret is no text": (
        lambda at: ((at / "secrets" / "session_secret").unlink(), (at / "secrets" / "session_secret").mkdir()),
        "secrets/session_secret: There is no such file.",
    ),
    "a password is another one": (
        lambda at: put(at, "neo4j_auth", "neo4j/something-else"),
        "secrets/graph_url: Its password is not that of neo4j_auth.",
    ),
    "a store is not started": (
        lambda at: change(at, "qdrant,redis,monitoring", "redis,monitoring"),
        "secrets/vector_url: It leads to qdrant, which is not started.",
    ),
    "requests are not counted in Redis": (
        lambda at: put(at, "rate_limit_storage", "memory://"),
        "secrets/rate_limit_storage: It does not lead to redis.",
    ),
    "the certificate is for another name": (
        lambda at: certify(at, "elsewhere.example.org"),
        f"secrets/tls_certificate: It is not for {NAME}.",
    ),
    "the certificate is of another key": (
        lambda at: (kept := (at / "secrets" / "tls_key").read_text(), certify(at), put(at, "tls_key", kept)),
        "secrets/tls_key: It is not the key of the certificate.",
    ),
    "the certificate is none": (
        lambda at: put(at, "tls_certificate", "hello"),
        "secrets/tls_certificate: It is no certificate in PEM.",
    ),
    "the key has a passphrase, or is none": (
        lambda at: put(at, "tls_key", "hello"),
        "secrets/tls_key: It is no private key in PEM, or it has a passphrase.",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_is_refused(whole: Path, trouble: str):
    """Each thing that is wrong is one sentence that names it, and nothing else is found."""
    make, sentence = TROUBLES[trouble]
    make(whole)
    assert told(whole) == [sentence]
    assert all(one.hint for one in check(whole))


def test_a_certificate_that_has_ended(whole: Path):
    """A certificate that ends within a week is refused, with its date; one for all names of a domain will do."""
    certify(whole, days=3)
    assert told(whole) == [
        f"secrets/tls_certificate: It is valid until {datetime.now(UTC) + timedelta(days=3):%Y-%m-%d} only."
    ]
    certify(whole, "*.example.org")
    assert check(whole) == []


def test_a_store_of_somebody_else(whole: Path):
    """A URL that leads elsewhere has no password of the stack to agree with."""
    put(whole, "graph_url", "neo4j+s://neo4j:secret@graph.example.org:7687")
    assert check(whole) == []


def test_a_key_of_an_endpoint(whole: Path):
    """Where the key of an endpoint is asked for, its file must have it."""
    change(whole, "#DIPTYCH_EMBEDDING_API_KEY_FILE", "DIPTYCH_EMBEDDING_API_KEY_FILE")
    assert told(whole) == ["secrets/embedding_api_key: It is empty."]
    put(whole, "embedding_api_key", "sk-1")
    assert check(whole) == []


def test_values_as_compose_reads_them(whole: Path):
    """A value in quotes, with an equals sign or with a dollar in it is read as it stands."""
    change(whole, "TIMEZONE=UTC", 'TIMEZONE="Europe/Berlin"')
    assert read_env(whole)["DIPTYCH_TIMEZONE"] == "Europe/Berlin"
    assert check(whole) == []
