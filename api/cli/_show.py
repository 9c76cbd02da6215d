"""Memories for people: on one line, and in full."""

from __future__ import annotations

import json
from datetime import datetime

from rich.text import Text

from api.cli._output import Output, one_line, printable, styled
from api.shapes import time_text
from persistence.records import Memory
from persistence.results import PersistenceResult, SearchHit, StorageStatus

ID_STYLE, FAINT = "cyan", "dim"
_SHOWN_ENTITIES = 8


def short_time(moment: datetime) -> str:
    """Return a time to the second, in UTC."""
    return time_text(moment)[:19] + "Z"


def memory_line(memory: Memory, width: int | None) -> Text:
    """Return a memory's id, time and content on one line; cut to ``width`` where there is one."""
    head = f"{printable(memory.id)}  {short_time(memory.created_at)}  "
    room = None if width is None else width - len(head)
    return styled(
        (printable(memory.id), ID_STYLE),
        (f"  {short_time(memory.created_at)}  ", FAINT),
        one_line(memory.content, room),
    )


def show_memory(memory: Memory, output: Output) -> None:
    """Print everything a memory holds, its embedding apart."""
    output.line(printable(memory.content))
    output.line()
    for name, value in _fields(memory):
        output.line(styled((f"{name + ':':<15}", FAINT), value))
    for number, entity in enumerate(memory.entities):
        output.line(_listed("entities", number, f"{entity.name} ({entity.type})", entity.properties))
    for number, relation in enumerate(memory.relationships):
        text = f"{relation.source} -{relation.type}-> {relation.target}"
        output.line(_listed("relationships", number, text, relation.properties))


def _fields(memory: Memory) -> list[tuple[str, str]]:
    fields = [("id", memory.id), ("user", memory.user_id), ("agent", memory.agent_id), ("run", memory.run_id)]
    fields += [("created", time_text(memory.created_at)), ("updated", time_text(memory.updated_at))]
    fields += [("version", str(memory.version))]
    if memory.metadata:
        fields.append(("metadata", json.dumps(memory.metadata, ensure_ascii=False)))
    return [(name, one_line(value)) for name, value in fields if value]


def _listed(name: str, number: int, text: str, properties: object) -> Text:
    shown = f" {json.dumps(properties, ensure_ascii=False)}" if properties else ""
    return styled((f"{name + ':' if number == 0 else '':<15}", FAINT), one_line(text), (one_line(shown), FAINT))


def entities_line(memory: Memory) -> str:
    """Return the names of a memory's entities, the first few of them."""
    names = [f"{entity.name} ({entity.type})" for entity in memory.entities[:_SHOWN_ENTITIES]]
    more = len(memory.entities) - len(names)
    return one_line(", ".join(names) + (f", and {more} more" if more > 0 else ""))


def show_hit(hit: SearchHit, output: Output) -> None:
    """Print one hit: how near it is, its id, its content, its entities."""
    score = f"{hit.score:6.3f}" if hit.score is not None else " graph"
    room = None if output.width is None else output.width - 8
    output.line(styled((score, "bold green"), "  ", (printable(hit.memory.id), ID_STYLE)))
    output.line(styled("        ", one_line(hit.memory.content, room)))
    if hit.memory.entities:
        output.line(styled(("        " + entities_line(hit.memory), FAINT)))
    if hit.distance:
        via = ", ".join(f"{link.entity} ({link.type})" for link in hit.via)
        steps = "1 step" if hit.distance == 1 else f"{hit.distance} steps"
        output.line(styled((f"        reached in {steps} through {one_line(via)}", FAINT)))


def note_graph(result: PersistenceResult, output: Output) -> None:
    """Say on stderr what a write left to be done in the graph."""
    if result.graph is StorageStatus.PENDING:
        output.note(f"The graph is behind: {result.error or 'it is brought up later'}")
        output.note("Try: diptych relay")
