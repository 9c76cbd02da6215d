"""The features of texts, as numbers: pure, vectorised, and bounded in memory by the size of a batch.

A batch is turned into one array of code points; every feature of it becomes one unsigned 64-bit integer,

    row of the batch (20 bits) | kind of feature (3 bits) | hash (41 bits)

so that sorting these brings equal features of one row together, where they are counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.intp]

KIND_BITS = 3
HASH_BITS = 41
#: A batch has fewer rows than this.
MAX_ROWS = 1 << (64 - KIND_BITS - HASH_BITS)

#: What a feature of each kind weighs, in 1/1024. Sums of integers do not depend on their order: a text has one vector,
#: whatever stood beside it in the batch. Kinds 1 to 4 are words by length; the short ones are mostly grammar.
WEIGHTS = np.array([0, 256, 384, 512, 1024, 512, 307, 512], dtype=np.float64)
PAIR, TRIGRAM, BIGRAM = 5, 6, 7

SPACE = 32
#: From here on (CJK and what follows) words are not set off by spaces, and two characters say as much as a word.
IDEOGRAPHIC = 0x2E80

# All but spaces, ASCII punctuation and the blocks of punctuation, so that marks and emoji stay in their words.
_WORD = re.compile("[^\\s!-/:-@\\[-`{-\u00bf\u2000-\u206f\u3000-\u303f]+")


def words(text: str) -> list[str]:
    """Return the words of a text, NFKC and casefolded; where it has none, what it has instead. Never empty."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(folded) or folded.split() or ["\n"]


def features(rows: Sequence[Sequence[str]]) -> Numbers:
    """Return the features of rows of words, sorted; a feature that occurs n times in a row is there n times."""
    codes = _code_points(rows)
    spaces = np.flatnonzero(codes == SPACE)
    lengths = np.diff(spaces) - 1
    row_of_word = np.repeat(np.arange(len(rows), dtype=np.uint64), [len(row) for row in rows])
    hashes = _word_hashes(codes, spaces[:-1] + 1, lengths)
    found = np.concatenate(
        [
            _pack(row_of_word, np.minimum(lengths, 4).astype(np.uint64), hashes),
            _pairs(row_of_word, hashes),
            *_character_features(codes, np.repeat(row_of_word, lengths)),
        ]
    )
    found.sort()
    return found


def weigh(found: Numbers, rows: int, dimension: int) -> npt.NDArray[np.float64]:
    """Return the signed sums of the weights of sorted features, shape ``(rows, dimension)``; all are integers."""
    first = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    counts = np.diff(first, append=len(found))
    distinct = found[first]
    kind = (distinct >> np.uint64(HASH_BITS)) & np.uint64((1 << KIND_BITS) - 1)
    hashed = distinct & np.uint64((1 << HASH_BITS) - 1)
    weights = np.rint(WEIGHTS[kind] * (1 + np.log(counts)))
    weights[(hashed & np.uint64(1)).astype(bool)] *= -1
    cell = (distinct >> np.uint64(KIND_BITS + HASH_BITS)) * np.uint64(dimension)
    cell += (hashed * np.uint64(dimension)) >> np.uint64(HASH_BITS)
    sums = np.bincount(cell.astype(np.intp), weights, minlength=rows * dimension).astype(np.float64, copy=False)
    return sums.reshape(rows, dimension)


def _code_points(rows: Sequence[Sequence[str]]) -> Numbers:
    """Return the code points of all words, one space before, between and after them."""
    joined = " ".join(chain.from_iterable(rows))
    return np.frombuffer(f" {joined} ".encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)


def _word_hashes(codes: Numbers, starts: Positions, lengths: Positions) -> Numbers:
    """Return one hash per word: of the sum of the hashes of its characters, each with its place in the word."""
    begins = np.cumsum(lengths) - lengths
    place = np.arange(int(lengths.sum())) - np.repeat(begins, lengths)
    characters = codes[np.repeat(starts, lengths) + place] | (place.astype(np.uint64) << np.uint64(21))
    return _mixed(np.add.reduceat(_mixed(characters), begins))


def _pairs(row_of_word: Numbers, hashes: Numbers) -> Numbers:
    """Return the features of neighbouring words; which of them comes first matters."""
    same_row = row_of_word[1:] == row_of_word[:-1]
    pair = _mixed(hashes[:-1] * np.uint64(3) + hashes[1:])
    return _pack(row_of_word[:-1][same_row], np.uint64(PAIR), pair[same_row])


def _character_features(codes: Numbers, row_of_character: Numbers) -> tuple[Numbers, Numbers]:
    """Return the features of three characters (a word's edge is one) and, in scripts without spaces, of two."""
    inside = np.flatnonzero(codes != SPACE)
    middle, after = codes[inside], codes[inside + 1] << np.uint64(21)
    trigrams = _mixed(codes[inside - 1] << np.uint64(42) | after | middle)
    dense = (middle >= IDEOGRAPHIC) & (after >= np.uint64(IDEOGRAPHIC << 21))
    bigrams = _mixed(after[dense] | middle[dense])
    return (
        _pack(row_of_character, np.uint64(TRIGRAM), trigrams),
        _pack(row_of_character[dense], np.uint64(BIGRAM), bigrams),
    )


def _pack(row: Numbers, kind: Numbers | np.uint64, hashed: Numbers) -> Numbers:
    feature = row << np.uint64(KIND_BITS) | kind
    return feature << np.uint64(HASH_BITS) | hashed >> np.uint64(64 - HASH_BITS)


def _mixed(values: Numbers) -> Numbers:
    """Spread each number over 64 bits (the finaliser of splitmix64); what it is given stays as it is."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
