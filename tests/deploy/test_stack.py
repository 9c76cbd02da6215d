"""The production stack as docs/how-to/deploy.md has it started, on real PostgreSQL, Neo4j, Redis and nginx."""

from __future__ import annotations

import os
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests import planted
from tests.conftest import docker_answers, empty_neo4j
from tests.deploy.compose import ROOT
from tests.deploy.conftest import NAME, STARTED, Host

PAGE = ROOT / "docs" / "how-to" / "deploy.md"
_BLOCK = re.compile(
    r"^## (?P<title>[^\n]+)$|^<!-- not run: [^\n]+ -->\n```.*?^```$|^```console\n(?P<lines>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
pytestmark = [pytest.mark.timeout(240), pytest.mark.long]


def lines() -> Iterator[tuple[str, str]]:
    """Yield each command of the page, with the title above it."""
    title = ""
    for found in _BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        title = found["title"] or title
        for line in (found["lines"] or "").splitlines():
            yield title, line.removeprefix("$ ")


def under(*titles: str) -> list[str]:
    """Return the commands of some parts of the page."""
    return [line for title, line in lines() if title in titles]


#: What only an engine can do; what comes of it is tested on the stage, or in test_image.py.
ENGINE = ("docker build ", "diptych() ", "docker compose up", "docker compose ps")


@pytest.fixture(scope="module")
def started(host: Host, neo4j_server) -> Iterator[Host]:
    """Do what the page says up to the start, and have every service run."""
    empty_neo4j(neo4j_server.url)
    password = unquote(urlsplit(neo4j_server.url).password or "")
    (host.checkout / "secrets").mkdir(mode=0o700)
    (host.checkout / "secrets" / "neo4j_auth").write_text(f"neo4j/{password}\n")
    for line in under("Make the settings and the secrets", "Put the certificate there"):
        host.run(line)
    make_database(host, host.postgres)
    with host.staged() as stage, ExitStack() as stack:
        for line in under("Make the keys"):
            host.key = host.run(line).strip() or host.key
        planted.plant(host.key, "the key of the stack")
        assert host.run("diptych config check") == "All is there that the stack needs.\n"
        host.run(shlex.join(stage.argv("schema")))
        for name in STARTED:
            stack.enter_context(stage.running(name))
        yield host


def make_database(host: Host, url: str) -> None:
    """Run what the image of PostgreSQL runs when the database is made."""
    given = conninfo_to_dict(url)
    environment = {
        **os.environ,
        "PGHOST": str(given["host"]),
        "PGPORT": str(given.get("port", 5432)),
        "PGPASSWORD": str(given.get("password", "")),
        "POSTGRES_USER": str(given["user"]),
        "DIPTYCH_PASSWORD_FILE": str(host.checkout / "secrets" / "postgres_diptych_password"),
    }
    subprocess.run(["bash", host.checkout / "deploy" / "postgres" / "init.sh"], env=environment, check=True)


@pytest.fixture
def http(started: Host) -> Iterator[httpx.Client]:
    """Give a client outside of the stack, which trusts its certificate alone."""
    trust = ssl.create_default_context(cafile=started.checkout / "secrets" / "tls_certificate")
    transport = httpx.HTTPTransport(uds=str(started.folder / "https"), verify=trust)
    with httpx.Client(
        transport=transport, base_url=f"https://{NAME}", headers={"Authorization": f"Bearer {started.key}"}, timeout=30
    ) as client:
        yield client


def test_the_rest_of_the_page(started: Host):
    """What the page says after the start goes well: a look at it, keys, backups, a restore, an upgrade's commands."""
    titles = ("Start", "Backups", "Restore", "Upgrade")
    for line in under(*titles):
        if not line.startswith(ENGINE):
            host_said = started.run(line)
            assert "Traceback" not in host_said


def test_memories_go_through(http: httpx.Client, started: Host):
    """A memory stored by way of nginx is in truth, and the worker brings it into the graph."""
    said = {"content": "Ada works at Babbage & Co.", "entities": [{"name": "Ada", "type": "Person"}]}
    answer = http.post("/memories", json={**said, "user_id": "u1"})
    assert answer.status_code == 201, answer.text
    started.run("docker compose exec worker diptych relay")
    assert started.run("docker compose exec worker diptych check --depth full --json")


def test_only_nginx_is_reached_and_by_tls(http: httpx.Client, started: Host):
    """Without TLS there is a redirect; metrics are not for the world; without a key nothing is."""
    plain = httpx.HTTPTransport(uds=str(started.folder / "http"))
    with httpx.Client(transport=plain) as client:
        answer = client.get(f"http://{NAME}/memories?user_id=u1")
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{NAME}/memories?user_id=u1")
    assert http.get("/metrics").status_code == 404
    assert http.get("/readyz").headers["strict-transport-security"].startswith("max-age=")
    assert http.get("/dashboard", headers={"Authorization": ""}).status_code == 401


def test_a_body_that_is_too_long(http: httpx.Client):
    """A body of the API's limit goes through nginx, a byte more gets the same problem from nginx as from the API."""
    most = 8_388_608
    fits = http.post("/memories", content=b" " * most, headers={"Content-Type": "application/json"})
    long = http.post("/memories", content=b" " * (most + 1), headers={"Content-Type": "application/json"})
    assert fits.status_code == 422
    assert (long.status_code, long.headers["content-type"]) == (413, "application/problem+json")
    assert long.json()["type"] == "urn:diptych:problem:body-too-large"
    assert long.json()["detail"] == f"A body may be {most:,} bytes long."


def test_whoever_has_no_key_is_refused_before_the_body(started: Host):
    """Without a key the answer comes before a byte of the body has: nginx keeps nothing for nobody."""
    trust = ssl.create_default_context(cafile=started.checkout / "secrets" / "tls_certificate")
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(20)
        plain.connect(str(started.folder / "https"))
        with trust.wrap_socket(plain, server_hostname=NAME) as encrypted:
            encrypted.sendall(f"POST /memories HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 8000000\r\n\r\n".encode())
            assert encrypted.recv(12) == b"HTTP/1.1 401"


def test_events_are_not_held_back(http: httpx.Client):
    """The first event of a run comes through nginx while the run is under way: at a pace that never ends."""
    order = {"operation": "check", "depth": "full", "rows_per_second": 0.01}
    assert http.post("/memories", json={"user_id": "u2", "content": "Grace is here."}).status_code == 201
    run = http.post("/persistence/sync", json=order)
    assert run.status_code == 202, run.text
    where = f"/persistence/sync/runs/{run.json()['run_id']}"
    with http.stream("GET", f"{where}/events") as events:
        first = next(events.iter_text())
    under_way = http.get(where).json()
    http.post(f"{where}/cancel")
    assert first
    assert under_way["state"] == "running"


def test_requests_are_counted_in_redis(http: httpx.Client, started: Host):
    """The count of requests lies in the stack's Redis, not in the process."""
    http.get("/persistence/status")
    config = (started.checkout / "secrets" / "redis_config").read_text().split()[-1]
    keys = started.run(f"docker compose exec redis redis-cli --no-auth-warning -a {config} --scan")
    assert "diptych" in keys


def test_the_page_of_a_browser_is_the_same_site(http: httpx.Client):
    """The API knows its own pages behind nginx: by name and scheme a form of its own is let through, another is not."""
    page = http.get("/dashboard", follow_redirects=True)
    assert (page.status_code, page.url.scheme, page.url.host) == (200, "https", NAME)
    foreign = http.post("/memories", json={}, headers={"Origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["type"]) == (403, "urn:diptych:problem:cross-site")


def test_metrics_are_for_the_key_of_prometheus(started: Host):
    """Worker and API serve their metrics to whoever has the key that is mounted into Prometheus."""
    key = (started.checkout / "secrets" / "prometheus_key").read_text().strip()
    planted.plant(key, "the key of Prometheus")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(started.folder / "worker"))) as client:
        assert client.get("http://worker:8766/metrics").status_code == 401
        answer = client.get("http://worker:8766/metrics", headers={"Authorization": f"Bearer {key}"})
    assert "diptych_outbox_entries" in answer.text


def test_it_makes_backups_by_itself(started: Host):
    """The service of the backups has made one at its start, and it is encrypted."""
    names = [path.name for path in started.stage.volume("backups").iterdir() if path.is_dir()]
    assert any("-full-" in name for name in names)
    shown = started.run("docker compose exec backup diptych backup list /backups --json")
    assert '"encrypted": true' in shown


def test_no_log_shows_a_secret(started: Host):
    """What services log holds no secret of the stack, and nginx's log no query."""
    said = "".join(started.stage.log(name).read_text() for name in STARTED)
    for path in (started.checkout / "secrets").iterdir():
        if (text := path.read_text().strip()) and path.name != "rate_limit_storage":
            assert text.rpartition("/")[2] not in said
    assert "user_id=u1" not in started.stage.log("nginx").read_text()


@pytest.mark.long
@pytest.mark.skipif(not docker_answers(), reason="there is no engine")
def test_with_an_engine(tmp_path: Path):
    """An engine brings the stack up by the page's own commands, and every service becomes healthy."""
    from tests.deploy.real_engine import brought_up  # noqa: PLC0415

    brought_up(tmp_path, [line for _, line in lines()])
