"""The routes, one module a subject. Each router can be mounted by itself."""

from __future__ import annotations

from api.http.routes import export, graph, memories, outbox, runs, status, sync

#: In this order: a path of a fixed name before one that holds an id.
MAKERS = tuple(subject.make_router for subject in (status, sync, runs, outbox, memories, graph, export))

__all__ = ["MAKERS"]
