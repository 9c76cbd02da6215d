"""A patch on a memory: which draft it makes."""

from __future__ import annotations

from typing import Any

from persistence.records import Memory, MemoryPatch


def patched(memory: Memory, patch: MemoryPatch) -> dict[str, Any]:
    """Return the fields of the draft that is the memory with the patch on it.

    A field that is given replaces the field; None clears ``agent_id`` and ``run_id``, and counts as not given
    elsewhere. New content needs a new embedding, and new entities where the old ones were extracted from the text.
    """
    given = patch.model_fields_set
    changed = patch.content is not None and patch.content != memory.content
    said = patch.entities is not None or patch.relationships is not None
    anew = changed and memory.extracted and not said
    kept = None if changed else memory.embedding
    return {
        "id": memory.id,
        "user_id": memory.user_id,
        "created_at": memory.created_at,
        "content": patch.content or memory.content,
        "agent_id": patch.agent_id if "agent_id" in given else memory.agent_id,
        "run_id": patch.run_id if "run_id" in given else memory.run_id,
        "metadata": memory.metadata if patch.metadata is None else patch.metadata,
        "embedding": kept if patch.embedding is None else patch.embedding,
        "entities": None if anew else memory.entities if patch.entities is None else patch.entities,
        "relationships": None if anew else _relationships(memory, patch),
    }


def _relationships(memory: Memory, patch: MemoryPatch) -> Any:
    return memory.relationships if patch.relationships is None else patch.relationships
