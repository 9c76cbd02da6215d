"""Versions as ETags: If-Match and If-None-Match."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from starlette.exceptions import HTTPException

from persistence.errors import VersionConflictError
from persistence.projection import EXACT
from persistence.service import AsyncPersistenceService

IfMatch = Annotated[str | None, Header(description='The version expected, as its ETag: `"1763722800000000"`.')]
NO_VERSION = "If-Match holds no ETag of a memory: that is its version in double quotes, as GET answers with it."
IfNoneMatch = Annotated[str | None, Header(description="The version that is known already, as its ETag.")]


def etag(version: int | None) -> dict[str, str]:
    """Return the header that names a version, none where there is none."""
    return {} if version is None else {"ETag": f'"{version}"'}


def known(if_none_match: str | None, version: int) -> bool:
    """Say whether a version is known already; the comparison is the weak one."""
    tags = _tags(if_none_match)
    return "*" in tags or f'"{version}"' in {tag.removeprefix("W/") for tag in tags}


async def expected(memories: AsyncPersistenceService, if_match: str | None, memory_id: str, user_id: str) -> int | None:
    """Return the version that a request expects, None where it expects none.

    Raises VersionConflictError where it expects several of which none is there; HTTPException (412) where what it
    expects can be no version.
    """
    tags = _tags(if_match)
    if not tags or "*" in tags:
        return None
    versions = [version for tag in tags if (version := _version(tag)) is not None]
    if not versions:
        raise HTTPException(412, NO_VERSION)
    if len(tags) == 1:
        return versions[0]
    memory = await memories.get(memory_id, user_id=user_id)
    if memory is None or memory.version not in versions:
        raise VersionConflictError(versions[0], memory.version if memory else None)
    return memory.version


def _tags(header: str | None) -> list[str]:
    return [tag.strip() for tag in (header or "").split(",") if tag.strip()]


def _version(tag: str) -> int | None:
    """Return the version that a strong tag names."""
    digits = tag[1:-1]
    if tag != f'"{digits}"' or not digits.isascii() or not digits.isdecimal() or len(digits) > len(str(EXACT)):
        return None
    return version if (version := int(digits)) < EXACT else None
