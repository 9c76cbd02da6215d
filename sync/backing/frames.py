"""A part's bytes: frames one behind the other, each compressed by itself, and encrypted where there is a passphrase.

A frame is its head (its length, its length when it is unpacked, whether it is the last one) and its body. Nothing is
unpacked that says to be larger than a frame can be, or turns out to be larger than it says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from persistence.backends import adapter
from persistence.errors import BackupDamagedError, BackupError
from sync.backing.keys import Keys

#: Bytes after which a frame is closed, and the most that one can have: a single memory of the largest kind fits.
FRAME, LARGEST = 1_000_000, 256_000_000
MAGIC = b"diptych part 1\n"
_HEAD = struct.Struct(">IIB")
_NONCE = struct.Struct(">IxxxIB")
_LEVEL = 3


class Packer:
    """Makes the frames of one part. ``part``: the how-many-th of its backup it is."""

    def __init__(self, part: int, keys: Keys | None) -> None:
        self._zstd = adapter("zstandard", "backup").ZstdCompressor(level=_LEVEL)
        self._part = part
        self._keys = keys
        self._frame = 0

    def pack(self, raw: bytes, *, last: bool = False) -> bytes:
        """Return the next frame. Raises BackupError where it is too large."""
        if len(raw) > LARGEST:
            raise BackupError(f"A memory is larger than the {LARGEST:,} bytes that a backup can hold of one.")
        body: bytes = self._zstd.compress(raw)
        if self._keys is not None:
            body = self._keys.seal(_NONCE.pack(self._part, self._frame, last), body)
        self._frame += 1
        return _HEAD.pack(len(body), len(raw), last) + body


class Unpacker:
    """Reads the frames of one part."""

    def __init__(self, part: int, keys: Keys | None) -> None:
        self._zstd: Any = adapter("zstandard", "backup")
        self._part = part
        self._keys = keys

    def frames(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield what the frames hold, one at a time. Raises BackupDamagedError."""
        if file.read(len(MAGIC)) != MAGIC:
            raise _damaged("it does not begin as a part does")
        frame, last = 0, False
        while not last:
            size, raw_size, mark = self._head(file)
            last = bool(mark)
            yield self._body(_exactly(file, size), raw_size, _NONCE.pack(self._part, frame, last))
            frame += 1
        if file.read(1):
            raise _damaged("something stands behind its end")

    def _head(self, file: BinaryIO) -> tuple[int, int, int]:
        size, raw_size, mark = _HEAD.unpack(_exactly(file, _HEAD.size))
        if size > LARGEST + 1_000_000 or raw_size > LARGEST or mark > 1:
            raise _damaged("a frame of it is larger than any can be")
        return size, raw_size, mark

    def _body(self, body: bytes, raw_size: int, nonce: bytes) -> bytes:
        if self._keys is not None:
            body = self._keys.open(nonce, body)
        try:
            if self._zstd.get_frame_parameters(body).content_size != raw_size:
                raise _damaged("a frame of it is not as large as it says")
            raw: bytes = self._zstd.ZstdDecompressor().decompress(body)
        except self._zstd.ZstdError as error:
            raise _damaged("a frame of it cannot be unpacked") from error
        return raw


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _damaged("it was cut off")
    return data


def _damaged(why: str) -> BackupDamagedError:
    return BackupDamagedError(f"A part of the backup is damaged: {why}.")
