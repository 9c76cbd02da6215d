"""JSON web tokens: who is let in by them, and what does not fool the reader."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.access import ADMIN, READ, WRITE, Denied, Unauthenticated, Undecided
from api.access.gate import open_gate
from api.access.keyset import KeySet
from api.access.settings import AccessConfig
from api.access.tokens import Shared, Tokens
from persistence.errors import ConfigurationError
from tests.http.conftest import Client
from tests.http.keyring import ALICE, BOB, Keys, bearer

SECRET = b"a secret that is 32 bytes long.."
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()


def claims(**more: Any) -> dict[str, Any]:
    return {"exp": time.time() + 60, "sub": "me", "scope": "openid write", "user_id": ALICE, **more}


def signed(given: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(given, key, algorithm, headers=header or None)


def tokens(**more: Any) -> Tokens:
    return Tokens(Shared(SECRET), **more)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_token_names_its_principal():
    """A token stands for the scopes of ours that it names, and for its tenant."""
    principal = await tokens().identify(signed(claims()))
    assert (principal.name, principal.scopes, principal.user_id) == ("jwt:'me'", {WRITE}, ALICE)


async def test_all_tenants_need_admin():
    """A token without a tenant is for all of them, and for that it must have the scope admin."""
    given = claims(scope="admin")
    del given["user_id"]
    assert (await tokens().identify(signed(given))).user_id is None
    with pytest.raises(Denied):
        await tokens().identify(signed({**given, "scope": "read write"}))


@pytest.mark.parametrize("user_id", [None, "", 7, ["alice"], "a" * 300, "a\x00b"])
async def test_a_tenant_that_is_none_is_refused(user_id: Any):
    """A user_id claim that names no tenant is not taken for one that is missing."""
    with pytest.raises(Unauthenticated):
        await tokens().identify(signed(claims(user_id=user_id, scope="admin")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": 4_000_000_000},
        {"scope": ["admin"]},
        {"scope": 1},
        {"aud": "other"},
        {"iss": "other"},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(wrong: dict[str, Any]):
    """A token that has expired, is not yet valid, or is for or from somebody else is refused."""
    given = claims(**{"aud": "diptych", "iss": "https://issuer.example", **wrong})
    with pytest.raises(Unauthenticated):
        await tokens(audience="diptych", issuer="https://issuer.example").identify(signed(given))


@pytest.mark.parametrize("missing", ["exp", "aud", "iss"])
async def test_missing_claims_are_refused(missing: str):
    """A token must say when it ends; and for whom and from whom it is, where that is configured."""
    given = claims(aud="diptych", iss="https://issuer.example")
    reader = tokens(audience="diptych", issuer="https://issuer.example")
    assert await reader.identify(signed(given))
    del given[missing]
    with pytest.raises(Unauthenticated):
        await reader.identify(signed(given))


async def test_audience_is_only_looked_at_where_configured():
    """A token for any audience is taken where none is configured."""
    assert await tokens().identify(signed(claims(aud="whoever")))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS512", "RS256", ""])
async def test_the_token_does_not_choose_the_algorithm(alg: str):
    """A token that is not signed, or by another algorithm than the key's, is refused."""
    unsigned = f"{_part({'alg': alg, 'typ': 'JWT'})}.{_part(claims())}."
    with pytest.raises(Unauthenticated):
        await tokens().identify(unsigned)
    with pytest.raises(Unauthenticated):
        await tokens().identify(unsigned + signed(claims()).rpartition(".")[2])


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "x" * 5_000, "é.é.é", "\x00"])
async def test_what_is_no_token_is_refused(token: str):
    """Whatever is no token is refused, without another error."""
    with pytest.raises(Unauthenticated):
        await tokens().identify(token)


# --- public keys ------------------------------------------------------------------------------------------------


class Issuer:
    """A real HTTP server that shows keys; ``fetched`` counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.fetched = 0
        self.broken: bytes | None = None
        self.go = threading.Event()
        self.go.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetched += 1
                outer.go.wait(10)
                self.send_response(500 if outer.broken == b"" else 200)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # whoever asked has given up
                    self.wfile.write(
                        json.dumps({"keys": outer.keys}).encode() if outer.broken is None else outer.broken
                    )

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"

    def show(self, kid: str, key: Any, **more: Any) -> None:
        algorithm = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
        name = next((name for kind, name in algorithm.items() if isinstance(key, kind)), "EdDSA")
        shown = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
        self.keys.append({**shown, "kid": kid, "use": "sig", **more})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.go.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")], ids=lambda k: str(k)[:5])
async def test_public_keys(issuer: Issuer, key: Any, algorithm: str):
    """Tokens are read with the public keys that the issuer shows, fetched once for many tokens."""
    issuer.show("k1", key)
    reader = Tokens(KeySet(issuer.url))
    for _ in range(5):
        assert (await reader.identify(signed(claims(), key, algorithm, kid="k1"))).may(READ)
    assert issuer.fetched == 1
    with pytest.raises(Unauthenticated):
        await reader.identify(signed(claims(), SECRET, kid="k1"))


async def test_a_public_key_is_no_secret(issuer: Issuer):
    """A token signed with the public key taken for a shared secret is refused: the algorithm is the key's."""
    issuer.show("k1", RSA)
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body = _part({"alg": "HS256", "kid": "k1"}), _part(claims())
    import hashlib  # noqa: PLC0415  # the library refuses to sign such a token
    import hmac  # noqa: PLC0415

    mac = hmac.digest(public, f"{head}.{body}".encode(), hashlib.sha256)
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(Unauthenticated):
        await Tokens(KeySet(issuer.url)).identify(forged)


async def test_a_secret_among_public_keys_is_not_used(issuer: Issuer):
    """A shared secret that stands among the public keys verifies nothing: everybody can read it there."""
    secret = base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()
    issuer.show("k1", RSA)
    issuer.keys.append({"kty": "oct", "k": secret, "kid": "k2", "alg": "HS256"})
    with pytest.raises(Unauthenticated):
        await Tokens(KeySet(issuer.url)).identify(signed(claims(), SECRET, kid="k2"))


async def test_new_keys_are_fetched_but_not_at_every_token(issuer: Issuer):
    """A token with an unknown key has the keys fetched anew, once in so many seconds, however many come."""
    issuer.show("k1", RSA)
    clock = Clock()
    reader = Tokens(KeySet(issuer.url, cooldown=30, lifetime=300, clock=clock))
    await reader.identify(signed(claims(), RSA, "RS256", kid="k1"))
    issuer.show("k2", EC)
    new = signed(claims(), EC, "ES256", kid="k2")
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await reader.identify(new)
    assert issuer.fetched == 1
    clock.now += 30
    assert await reader.identify(new)
    assert issuer.fetched == 2


async def test_a_key_that_is_withdrawn_is_refused(issuer: Issuer):
    """A key that the issuer no longer shows is refused once the keys are fetched again."""
    issuer.show("k1", RSA)
    clock = Clock()
    reader = Tokens(KeySet(issuer.url, lifetime=300, clock=clock))
    token = signed(claims(), RSA, "RS256", kid="k1")
    await reader.identify(token)
    issuer.keys.clear()
    issuer.show("k2", EC)
    clock.now += 300
    with pytest.raises(Unauthenticated):
        await reader.identify(token)


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"null", b'{"keys": []}'], ids=repr)
async def test_keys_that_cannot_be_had(issuer: Issuer, broken: bytes):
    """Without keys nobody knows who asks, which is not to say that they are nobody; old keys serve for an hour."""
    clock = Clock()
    reader = Tokens(KeySet(issuer.url, cooldown=30, lifetime=300, clock=clock))
    issuer.show("k1", RSA)
    token = signed(claims(), RSA, "RS256", kid="k1")
    issuer.broken = broken
    with pytest.raises(Undecided):
        await reader.identify(token)
    with pytest.raises(Undecided):
        await reader.identify(token)
    assert issuer.fetched == 1
    issuer.broken = None
    clock.now += 30
    assert await reader.identify(token)
    issuer.broken = broken
    clock.now += 300
    assert await reader.identify(token)
    clock.now += 3_600
    with pytest.raises(Undecided):
        await reader.identify(token)


async def test_an_issuer_that_does_not_answer(issuer: Issuer):
    """An issuer that takes the connection and says nothing holds nobody up for longer than the deadline."""
    issuer.go.clear()
    began = time.monotonic()
    with pytest.raises(Undecided):
        await Tokens(KeySet(issuer.url, timeout=0.2)).identify(signed(claims(), RSA, "RS256", kid="k1"))
    assert time.monotonic() - began < 2


async def test_a_token_must_name_its_key(issuer: Issuer):
    """A token without a kid is refused before anything is fetched."""
    with pytest.raises(Unauthenticated):
        await Tokens(KeySet(issuer.url)).identify(signed(claims(), RSA, "RS256"))
    assert issuer.fetched == 0


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://issuer.example/k", "file:///etc/passwd", "ftp://x/y", "https://", "x"])
def test_keys_come_over_tls(url: str):
    """Public keys are fetched over https, or from this machine."""
    with pytest.raises(ConfigurationError, match="https"):
        KeySet(url)


async def test_a_short_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A shared secret shorter than its hash is refused, in a setting and in a file."""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        await open_gate(AccessConfig(jwt_secret="x" * 31), tmp_path)  # type: ignore[arg-type]
    (tmp_path / "secret").write_text("short\n")
    monkeypatch.setenv("DIPTYCH_API_JWT_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError, match="32 bytes"):
        await open_gate(AccessConfig.load(), tmp_path)
    monkeypatch.setenv("DIPTYCH_API_JWT_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        AccessConfig.load()


async def test_keys_and_tokens_side_by_side(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where tokens are configured, keys are let in as before, and nobody without either."""
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    shown = await keys.make("app", ADMIN)
    monkeypatch.setenv("DIPTYCH_API_JWT_SECRET_FILE", str(tmp_path / "secret"))
    gate = await open_gate(AccessConfig.load(keys_file=keys.file.path), tmp_path)
    assert (await gate.identify(shown)).may(ADMIN)
    assert (await gate.identify(signed(claims()))).user_id == ALICE
    keys.file.path.unlink()
    with pytest.raises(Unauthenticated):
        await gate.identify(None)


def test_one_source_of_keys(monkeypatch: pytest.MonkeyPatch):
    """Two sources of keys for tokens are refused, and the sentence holds no secret."""
    monkeypatch.setenv("DIPTYCH_API_JWT_SECRET", "a-secret-that-must-not-be-shown-here")
    monkeypatch.setenv("DIPTYCH_API_JWT_JWKS_URL", "https://issuer.example/k")
    with pytest.raises(ConfigurationError, match="only one of") as caught:
        AccessConfig.load()
    assert "must-not-be-shown" not in str(caught.value)


async def test_tokens_of_two_tenants_are_counted_apart(client: Client):
    """A tenant that sends too much is refused, and no other: also where the issuer gives no subject, or one for all."""
    http = await client(jwt_secret=SECRET.decode(), rate_limit="1/minute")
    told = {"exp": time.time() + 60, "scope": "read"}
    statuses = [
        (await http.get("/memories", headers=bearer(signed({**told, "user_id": tenant})))).status_code
        for tenant in (ALICE, ALICE, BOB)
    ]
    assert statuses == [200, 429, 200]
