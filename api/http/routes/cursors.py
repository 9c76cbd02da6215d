"""Cursors of pages as text that says nothing to who holds it: JSON in base64."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from persistence.errors import InvalidInputError

T = TypeVar("T")


def written(*parts: str | int | None) -> str:
    """Return a cursor."""
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(shape: TypeAdapter[T], cursor: str | None) -> T | None:
    """Return what a cursor holds. Raises InvalidInputError where it is none of ours."""
    if cursor is None:
        return None
    try:
        return shape.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValidationError, binascii.Error, ValueError) as error:
        raise InvalidInputError("after", cursor, "it must be the `next` of a page before") from error
