"""The one form of everything on disk: numbered, checksummed frames, one after another.

A frame is a mark, the payload's length, the frame's number in its file, a hash of number and payload, the payload. The
mark lets good frames be found behind a damaged one, which tells damage from an end that was torn off.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import BinaryIO, NamedTuple

MARK = b"\xd1pty"
_HEAD = struct.Struct("<4sIQ16s")
#: The longest payload that the length can say.
LONGEST = 2**32 - 1
#: How often a file is hashed at most in the search for a good frame, and how many bytes of a small one.
_PASSES, _LEAST = 8, 64_000_000


class Frame(NamedTuple):
    """A good frame, and where it ends in its file."""

    number: int
    payload: bytes
    end: int


class BadFrameError(Exception):
    """The bytes from ``offset`` on are no frame, or not the one that has to follow."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(f"no frame at byte {offset}")


def pack(number: int, payload: bytes) -> bytes:
    """Return a frame."""
    return _HEAD.pack(MARK, len(payload), number, _hash(number, payload)) + payload


def frames(file: BinaryIO) -> Iterator[Frame]:
    """Yield the frames of a file from its beginning, numbered from 0. Raises BadFrameError at the first bad one."""
    expected, offset = 0, 0
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while head := file.read(_HEAD.size):
        frame = _frame(file, head, offset, size)
        if frame is None or frame.number != expected:
            raise BadFrameError(offset)
        yield frame
        expected, offset = expected + 1, frame.end


def _frame(file: BinaryIO, head: bytes, offset: int, size: int) -> Frame | None:
    if len(head) < _HEAD.size:
        return None
    mark, length, number, found = _HEAD.unpack(head)
    end = offset + _HEAD.size + length
    if mark != MARK or end > size:  # a length is not believed before there is that much: memory is taken for it
        return None
    payload = file.read(length)
    return Frame(number, payload, end) if _hash(number, payload) == found else None


def is_torn(file: BinaryIO, offset: int, size: int) -> bool:
    """Say whether what begins at ``offset`` is one frame whose end is missing: a write that was not finished.

    Anything else (a whole frame that is wrong, good frames behind it) was written once and has been damaged since.
    """
    file.seek(offset)
    head = file.read(_HEAD.size)
    if len(head) == _HEAD.size:
        mark, length, *_ = _HEAD.unpack(head)
        if mark != MARK or offset + _HEAD.size + length <= size:
            return False
    return not _any_frame(file, offset + 1)


def _any_frame(file: BinaryIO, start: int) -> bool:
    """Say whether a good frame may lie behind ``start``.

    What was stored can be made so that it is full of marks, each with a long length: after so many bytes hashed in
    vain the answer is yes, which loses nothing.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        left = max(len(content) * _PASSES, _LEAST)
        at = content.find(MARK, start)
        while at >= 0 and left > 0:
            length = _length_at(content, at)
            if length is not None and _frame_in(content, at, length):
                return True
            left -= length or 0
            at = content.find(MARK, at + 1)
    return left <= 0


def _length_at(content: mmap.mmap, at: int) -> int | None:
    """Return the length of a frame that may begin here; None where there is not that much."""
    head = content[at : at + _HEAD.size]
    if len(head) < _HEAD.size:
        return None
    length = int(_HEAD.unpack(head)[1])
    return length if at + _HEAD.size + length <= len(content) else None


def _frame_in(content: mmap.mmap, at: int, length: int) -> bool:
    _, _, number, found = _HEAD.unpack(content[at : at + _HEAD.size])
    return bool(_hash(number, content[at + _HEAD.size : at + _HEAD.size + length]) == found)


def _hash(number: int, payload: bytes) -> bytes:
    """Hash the number too: a frame in another place is a wrong one."""
    found = blake2b(number.to_bytes(8), digest_size=16)
    found.update(payload)
    return found.digest()
