"""Arrays as PostgreSQL reads them in binary: made from whole columns, because psycopg makes them value by value."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg.abc import AdaptContext, PyFormat
from psycopg.adapt import Dumper
from psycopg.pq import Format

#: Dimensions, whether there are nulls, the oid of the elements; then, of the only dimension, its size and first index.
_HEADER = struct.Struct(">iiIii")
_EMPTY = struct.Struct(">iiI")
_SIZE = struct.Struct(">i")
_NULL = _SIZE.pack(-1)


@dataclass(frozen=True, slots=True)
class ArrayType:
    """An array type by its oid and that of its elements. ``dtype``: of elements of a fixed size, big-endian."""

    oid: int
    element: int
    dtype: str = ""


INTEGERS = ArrayType(1007, 23, ">i4")
BIGINTS = ArrayType(1016, 20, ">i8")
#: Microseconds since 2000.
TIMESTAMPS = ArrayType(1185, 1184, ">i8")
TEXTS = ArrayType(1009, 25)
JSONS = ArrayType(199, 114)


@dataclass(frozen=True, slots=True)
class Array:
    """An array that is ready to be sent."""

    oid: int
    data: bytes


def numbers(kind: ArrayType, values: Sequence[int]) -> Array:
    """Pack integers, none of them null."""
    items = np.empty(len(values), dtype=[("size", ">i4"), ("value", kind.dtype)])
    items["size"] = np.dtype(kind.dtype).itemsize
    items["value"] = values
    return Array(kind.oid, _head(kind, len(values), nulls=False) + items.tobytes())


def texts(kind: ArrayType, values: Sequence[str | None]) -> Array:
    """Pack texts, or JSON as text."""
    parts = [_head(kind, len(values), nulls=None in values)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = value.encode()
            parts += (_SIZE.pack(len(data)), data)
    return Array(kind.oid, b"".join(parts))


def _head(kind: ArrayType, size: int, *, nulls: bool) -> bytes:
    return _HEADER.pack(1, nulls, kind.element, size, 1) if size else _EMPTY.pack(0, 0, kind.element)


class ArrayDumper(Dumper):
    """Sends what is packed, as an array of the type it was packed for."""

    format = Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None, oid: int = 0) -> None:
        super().__init__(cls, context)
        self._context = context
        self.oid = oid

    def get_key(self, obj: Array, format: PyFormat) -> Any:  # noqa: A002, ARG002  # psycopg's name
        return (self.cls, obj.oid)

    def upgrade(self, obj: Array, format: PyFormat) -> ArrayDumper:  # noqa: A002, ARG002  # psycopg's name
        return ArrayDumper(self.cls, self._context, obj.oid)

    def dump(self, obj: Array) -> bytes:
        return obj.data
