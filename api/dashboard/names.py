"""Names that a visitor gives: checked as everywhere, before a store sees them."""

from __future__ import annotations

from persistence import Key
from persistence.records import Record, validated
from persistence.text import Name


class _Tenant(Record):
    user_id: Name


class _Memory(Record):
    user_id: Name
    id: Name


def tenant_named(user_id: str) -> str | None:
    """Return a tenant's name, None where the field was left empty. Raises InvalidInputError."""
    return validated(_Tenant, {"user_id": user_id}).user_id if user_id else None


def memory_named(user_id: object, memory_id: object) -> Key:
    """Return a memory's identity. Raises InvalidInputError."""
    checked = validated(_Memory, {"user_id": user_id, "id": memory_id})
    return Key(checked.user_id, checked.id)
