"""The offline embedder: deterministic, quick, and near for texts that are worded alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.embedding import hashing
from persistence.embedding.hashing import HashingEmbedder

CORPUS = [
    "Ada works at Babbage & Co.",
    "Charles lives in London",
    "The engine was rebuilt in 1843",
    "Meeting notes: budget for travel",
    "Fix the parser for empty lines",
    "東京で働いています",
    "I like green tea in the morning",
]


def embedded(*texts: str, dimension: int = 384) -> np.ndarray:
    return hashing._embedded(texts, dimension)


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("who works where?", 0),
        ("where does Charles live", 1),
        ("engines rebuilt", 2),
        ("travel budget", 3),
        ("parser bug with an empty line", 4),
        ("東京", 5),
        ("MORNING TEA", 6),
    ],
)
def test_a_query_finds_what_is_worded_alike(query, best):
    """Shared words, inflected words, other case and scripts without spaces all bring a text to the top."""
    scores = embedded(*CORPUS) @ embedded(query)[0]
    assert int(np.argmax(scores)) == best
    assert scores[best] > 0.15


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8), st.sampled_from([1, 2, 3, 16, 384]))
def test_every_text_has_a_unit_vector(texts, dimension):
    """Whatever the text (empty, punctuation, unpaired surrogates), its vector has length 1."""
    lengths = np.linalg.norm(embedded(*texts, dimension=dimension).astype(np.float64), axis=1)
    assert np.allclose(lengths, 1, atol=1e-6)


@given(st.lists(st.text(max_size=60), min_size=2, max_size=8))
def test_neighbours_in_a_batch_do_not_matter(texts):
    """To the last bit, a text has the vector that it has alone."""
    assert np.array_equal(embedded(*texts), np.concatenate([embedded(text) for text in texts]))


@pytest.mark.parametrize("spelling", ["ＣＡＦÉ  au lait!", "cafe\u0301 AU-LAIT", "Café, au lait"])
def test_spellings_of_one_text(spelling):
    """Width, case, composition, spaces and punctuation change nothing."""
    assert np.array_equal(embedded("café au lait"), embedded(spelling))


def test_order_of_words_matters_a_little():
    """The same words in another order are very near, but not the same."""
    one, other = embedded("dog bites man", "man bites dog")
    assert 0.7 < float(one @ other) < 0.999


def test_repetition_counts_less_and_less():
    """A word said a hundred times does not drown the others."""
    rare = embedded("engine")[0]
    assert embedded("tea " * 100 + "engine")[0] @ rare > 0.1


def test_the_vectors_are_pinned():
    """Vectors are stored: other vectors need another model name. Another process with another hash seed agrees."""
    code = "from persistence.embedding.hashing import _embedded; print(_embedded(['Ada 東京 🜁'], 16).tobytes().hex())"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert runs == {embedded("Ada 東京 🜁", dimension=16).tobytes().hex()}
    assert HashingEmbedder().model == "diptych-hashing-1"
    found = (embedded("Ada 東京 🜁", dimension=16)[0] * 1000).round().astype(int)
    assert " ".join(map(str, found)) == "206 -206 -344 0 344 0 378 0 -206 -206 0 -344 -344 -464 0 0"


async def test_long_texts_are_embedded_in_pieces():
    """A text of a mebibyte has the direction of its words, and the batches around it are not disturbed."""
    embedder = HashingEmbedder()
    long_text = "the analytical engine weaves patterns " * 30_000
    vectors = await embedder.embed(["tea", long_text, "tea", "x" * 70_000, long_text])
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors[1], vectors[4])
    assert float(vectors[1] @ embedded("analytical engine")[0]) > 0.4


async def test_many_texts_are_embedded_in_batches():
    """Batches end at their limits, and every text is in exactly one of them."""
    texts = [f"text {i}" for i in range(5_000)]
    vectors = await HashingEmbedder(16).embed(texts)
    assert np.array_equal(vectors[::499], embedded(*texts[::499], dimension=16))
    for limit in (1, 7, 4_096):
        batches = list(hashing._batches(texts, limit))
        assert [start for start, _, _ in batches[1:]] == [stop for _, stop, _ in batches[:-1]]
        assert batches[0][0] == 0
        assert batches[-1][1] == len(texts)
        assert max(stop - start for start, stop, _ in batches) <= limit


@pytest.mark.parametrize("dimension", [0, -1, 16_001])
def test_a_dimension_that_no_store_holds_is_refused(dimension):
    """The dimension is 1 to 16,000."""
    with pytest.raises(ValueError, match="1 to 16000"):
        HashingEmbedder(dimension)
