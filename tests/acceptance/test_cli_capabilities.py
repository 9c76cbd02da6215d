"""What the backends can do, in `doctor` and in the reference; and which of them are recommended."""

from __future__ import annotations

from pathlib import Path

from api.cli import _capabilities
from persistence.backends import GRAPH, VECTOR
from persistence.ports.capabilities import Capability
from persistence.urls import scheme

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "capabilities.md"


async def test_the_reference_is_that_of_the_adapters():
    """docs/reference/capabilities.md says what the adapters say; its module's docstring says how to renew it."""
    page = PAGE.read_text(encoding="utf-8")
    assert await _capabilities.renewed(page) == page


def test_the_reference_leaves_no_backend_out():
    """Each backend that has a scheme here is in the reference."""
    for backends, urls in ((VECTOR, _capabilities.VECTOR_URLS), (GRAPH, _capabilities.GRAPH_URLS)):
        assert {module for module, _ in backends.values()} == {backends[scheme(url)][0] for url in urls}


def test_of_the_pair_that_is_configured(bare):
    """`doctor --capabilities` opens nothing: it shows what the pair can do, and what follows where it cannot."""
    given = ("doctor", "--capabilities", "--vector-url", "sqlite:///truth.db", "--graph-url", "memory://")
    ran = bare(*given)
    assert (ran.code, ran.err) == (0, "")
    assert "truth: sqlite" in ran.out
    assert f"Without vector_index: {Capability.VECTOR_INDEX.without}" in ran.out
    found = bare(*given, "--json").json
    assert found["vector"]["capabilities"]["durable"] is True
    assert found["graph"]["capabilities"] == {
        "durable": False,
        "shared": False,
        "atomic_batch": True,
        "snapshot_reads": None,
        "vector_index": None,
        "aggregates": True,
    }
    assert set(found["meaning"]) == set(Capability)
    assert (
        bare("doctor", "--capabilities", "--json", "--vector-url", "memory://", "--graph-url", "none://").json["graph"]
        is None
    )
    assert not (bare.folder / "truth.db").exists()
    embedded = bare("doctor", "--capabilities", "--json").json
    assert (embedded["vector"]["kind"], embedded["graph"]["kind"]) == ("pgvector", "postgresql")
    assert not (bare.folder / "home").exists(), "the embedded server is not started for it"


def test_doctor_says_only_what_is_so(bare):
    """A truth that has no extension is not said to have one, and one that is gone with its process is warned of."""
    for url, durability in (("sqlite:///truth.db", "ok"), ("memory://", "warn")):
        assert bare("schema", "upgrade", "--vector-url", url).code == 0
        ran = bare("doctor", "--json", "--vector-url", url, "--graph-url", "none://")
        states = {check["name"]: check["state"] for check in ran.json["checks"]}
        assert (ran.code, states["durability"]) == (0, durability)
        assert "extension" not in states


def test_recommend(bare):
    """`recommend` gives reasons and settings, starts nothing, and can be read by programs."""
    ran = bare("recommend", "--memories", "20000")
    assert (ran.code, ran.err) == (0, "")
    assert "truth: sqlite" in ran.out
    assert "20,000 memories of 384 dimensions takes about 8.0 ms" in ran.out
    assert f"DIPTYCH_VECTOR_URL=sqlite:///{bare.folder}/home/truth.db" in ran.out.splitlines()
    found = bare("recommend", "--json", "--no-durable", "--dimension", "64").json
    assert (found["vector"]["backend"], found["graph"]["backend"]) == ("memory", "memory")
    assert found["settings"]["DIPTYCH_EMBEDDING_DIMENSION"] == "64"
    others = {"pgvector", "qdrant", "sqlite", "embedded", "qdrant_embedded", "file"}
    assert {option["backend"] for option in found["instead"]["vector"]} == others
    assert not (bare.folder / "home").exists()


def test_what_is_recommended_can_be_used(bare):
    """The settings that are recommended work as they are."""
    settings = dict(line.split("=", 1) for line in bare("recommend").out.splitlines() if line.startswith("DIPTYCH_"))
    assert bare("store", "Ada", "--user", "u", **settings).code == 0
    assert bare("doctor", **settings).code == 0


def test_recommend_masks_passwords(bare):
    """A password in a URL of the environment is not printed."""
    for more in ((), ("--json",)):
        ran = bare("recommend", *more, DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/db")
        assert ran.code == 0
        assert "s3cret" not in ran.out + ran.err
