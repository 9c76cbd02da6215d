"""Whatever anybody writes is taken for what it says, or refused with an error of ours; nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.inputs import SEEDS, TARGETS

#: Files are made anew for each input of these.
SLOW = {"file_store", "backup_manifest", "mcp_arguments", "extraction"}
#: What somebody writes who has read how we work.
EVIL: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 2**63, -(2**63) - 1, 10**400, "", "\0", "\ud800", "../../etc/passwd", "a" * 300, "none",
    [], {}, [[]], {"a": {}}, [None], "1e999", "9" * 30, "\u202e", "\u0130\u0307", "İ", "\ufdfa" * 20,
)  # fmt: skip
WORDS = sorted({
    word
    for seeds in SEEDS.values()
    for seed in seeds
    for word in seed.decode("latin-1").split('"')
    if word.isidentifier()
})  # fmt: skip
VALUES = st.recursive(
    st.sampled_from(EVIL) | st.text(max_size=8) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=5),
    max_leaves=12,
)


def _changed(data: bytes, place: int, piece: bytes, gone: int) -> bytes:
    at = place % (len(data) + 1)
    return data[:at] + piece + data[at + gone :]


@st.composite
def _mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Change a few pieces of a seed: to bytes, to JSON, to a part of itself."""
    data = draw(st.sampled_from(seeds))
    pieces = st.binary(max_size=6) | VALUES.map(lambda value: json.dumps(value).encode()) | st.just(data[3:40])
    for _ in range(draw(st.integers(0, 3))):
        data = _changed(data, draw(st.integers(0, 400)), draw(pieces), draw(st.integers(0, 12)))
    return data


@st.composite
def _replaced(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Put other values under a seed's own names."""
    said = [json.loads(seed) for seed in seeds if seed[:1] == b"{" and seed.rstrip()[-1:] == b"}"] or [{}]
    fields = dict(draw(st.sampled_from(said)))
    fields |= draw(st.dictionaries(st.sampled_from(sorted(fields) or ["a"]), VALUES, max_size=3))
    return json.dumps(fields).encode()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    """Any bytes, any JSON, and what is right but for a few places, end in an answer or in an error of ours."""
    seeds = SEEDS.get(name, [b"{}"])
    inputs = _mutated(seeds) | _replaced(seeds) | st.binary(max_size=60) | VALUES.map(lambda v: json.dumps(v).encode())

    @settings(
        max_examples=10 if name in SLOW else 40,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("depth", [985, 20_000])
def test_nesting(name: str, depth: int) -> None:
    """Values that are nested as deeply as Python takes them, or deeper, end in an answer or in an error of ours."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"content":"c","user_id":', b"}"), (b'{"end":', b"}")):
        TARGETS[name](opening * depth + b"1" + closing * depth)
