"""Graph and commands as the demo prints them."""

from __future__ import annotations

from shlex import quote

from api.cli.demo.report import Step
from api.cli.demo.story import TENANT
from api.cli.importing.options import Request
from persistence.ports.graph import GraphMemory

SHOWN = 5
HASH = len("0" * 40)


def show(step: Step, graph: GraphMemory | None) -> None:
    """Print the entities and relationships that a memory has in the graph."""
    if graph is None:
        return
    names = {(entity.type, entity.key): short(entity.name) for entity in graph.entities}
    entities = [f"{short(entity.name)} ({entity.type})" for entity in graph.entities]
    step.say(f"entities: {some(entities)}")
    for edge in graph.edges[:SHOWN]:
        step.say(f"edge: ({names.get(edge.source)})-[{edge.type}]->({names.get(edge.target)})")
    if len(graph.edges) > SHOWN:
        step.say(f"and {len(graph.edges) - SHOWN} more edges")
    step.facts.update(entities=len(graph.entities), edges=len(graph.edges), version=graph.version)


def short(name: str) -> str:
    """Shorten the hash of a commit."""
    return name[:10] if len(name) == HASH and all(digit in "0123456789abcdef" for digit in name) else name


def some(parts: list[str]) -> str:
    """Join the first few."""
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(parts[:SHOWN]) + more


def command(request: Request) -> str:
    """Return the command that does what a request asks for."""
    if request.git:
        limit = f" --max {request.limit}" if request.limit else ""
        return f"$ diptych import --git {quote(str(request.git))}{limit} --user {TENANT}"
    return f"$ diptych import {' '.join(map(quote, request.files))} --user {TENANT}"
