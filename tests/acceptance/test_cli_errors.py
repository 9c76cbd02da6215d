"""What goes wrong, as a person meets it: one sentence, `Try: …`, exit 2; no traceback without -v, never a password."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

PASSWORD = "s3cr&t p@ss"  # noqa: S105  # it is there to be looked for
LIST = ("list", "--user", "u1")


def with_credentials(url: str, *, host: str | None = None) -> str:
    """Return ``url`` with a password that is wrong, or wrong in the end: it must not be printed either way."""
    parts = urlsplit(url)
    where = host or parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"ada:{quote(PASSWORD, safe='')}@{where}", parts.path, parts.query, ""))


def assert_a_sentence(ran) -> None:
    """One sentence and what to try; nothing on stdout, no traceback."""
    assert (ran.code, ran.out) == (2, "")
    assert "\x1b" not in ran.err
    first, second = ran.err.splitlines()
    assert first.startswith("Error: ")
    assert first.endswith(".")
    assert second.startswith("Try: ")


def assert_no_password(ran) -> None:
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cr"):
        assert secret not in ran.out + ran.err


@pytest.mark.parametrize("verbose", [False, True])
def test_a_store_that_cannot_be_reached(bare, verbose):
    """A host that refuses connections is a sentence; -v adds causes and traceback; the password is in neither."""
    url = with_credentials("postgresql://x/db", host="127.0.0.1:1")
    ran = bare(*LIST, "--vector-url", url, "--graph-url", "none://", *(["-v"] if verbose else []))
    assert_no_password(ran)
    assert ran.code == 2
    assert ("Traceback" in ran.err) is verbose
    assert ("Cause: " in ran.err) is verbose
    if not verbose:
        assert_a_sentence(ran)


def test_a_wrong_password(diptych, postgres_url):
    """A refused login is told from an unreachable host, and the password stays unsaid, with -v too."""
    url = with_credentials(postgres_url)
    ran = diptych(*LIST, "-v", DIPTYCH_VECTOR_URL=url)
    assert ran.code == 2
    assert "cannot be reached" not in ran.err.splitlines()[0]
    assert_no_password(ran)


@pytest.mark.parametrize(
    "url",
    ["mysql://ada:s3cr&t@h/db", "postgresql://ada:s3cr&t@[::1/db"],
)
def test_a_url_that_names_no_store(bare, url):
    """A URL that cannot be meant is a sentence that says so, without its password."""
    ran = bare(*LIST, "--vector-url", url, "--graph-url", "none://")
    assert_a_sentence(ran)
    assert_no_password(ran)


def test_a_missing_schema(diptych):
    """Where the schema may not be made on connect, the command to make it is named."""
    ran = diptych(*LIST, DIPTYCH_AUTO_UPGRADE="false")
    assert_a_sentence(ran)
    assert "diptych schema upgrade" in ran.err


def test_a_newer_schema(diptych, postgres_url, pg_schema):
    """A schema of a later version is refused, and the way out is an upgrade of diptych, not of the schema."""
    assert diptych("schema", "upgrade").code == 0
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("insert into {}.schema_migrations (version) values (9999)").format(sql.Identifier(pg_schema))
        )
    ran = diptych(*LIST)
    assert_a_sentence(ran)
    assert "upgrade diptych" in ran.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("store", "x", "--user", "u1", "--metadata", '{"a": NaN}'), "metadata"),
        (("store", "x", "--user", "u1", "--entity", "Ada:Memory"), "reserved"),
        (("store", "x", "--user", "u1", "--id", "i" * 256), "255"),
        (("get", "m1"), "--user"),
        (("delete", "--user", "u1"), "--all"),
        (("nonsense",), "nonsense"),
    ],
)
def test_input_that_is_not_allowed(diptych, args, said):
    """Bad input is named, exits with 2, and prints neither data nor a traceback."""
    ran = diptych(*args)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_text_that_no_store_can_hold(diptych):
    """Bytes that are no UTF-8, in an argument or on stdin, are refused with a sentence."""
    for args, stdin in ((("store", b"\xff".decode(errors="surrogateescape")), None), (("store", "-"), b"\xff\xfe")):
        ran = diptych(*args, "--user", "u1", stdin=stdin)
        assert (ran.code, ran.out) == (2, "")
        assert "content" in ran.err
        assert "Traceback" not in ran.err


def test_a_graph_that_is_away_leaves_a_store_stored(paired):
    """A graph that refuses connections: `store` succeeds as pending, says so on stderr, and `relay` mends it."""
    assert paired("store", "one", "--user", "u1", "--id", "m1").code == 0
    away = with_credentials("bolt://x", host="127.0.0.1:1")
    ran = paired("store", "two", "--user", "u1", "--id", "m2", "--json", DIPTYCH_GRAPH_URL=away)
    assert (ran.code, ran.json["outcome"], ran.json["graph"]) == (0, "pending", "pending")
    assert "Try: diptych relay" in ran.err
    assert_no_password(ran)
    state = paired("status", "--json", DIPTYCH_GRAPH_URL=away)
    assert (state.code, state.json["status"]) == (2, "degraded")
    assert state.json["outbox"]["pending"] == 1
    assert state.json["stores"]["graph"]["status"] == "unhealthy"
    assert_no_password(state)
    done = paired("relay", "--json")
    assert (done.code, done.json) == (0, {"applied": 1, "failed": 0, "dead": 0, "pending": 0})
