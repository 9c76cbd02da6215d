"""What a choice of backends depends on: what is wanted, and what is there."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from persistence.records import Record

#: What the extras of this distribution install; a backend is usable where its own is there.
EXTRAS = ("pgvector", "embedded", "neo4j", "qdrant")


class Server(Record):
    """A server that is known. ``origin``: what names it. ``answers``: it did when it was asked."""

    kind: str
    url: SecretStr
    origin: str
    answers: bool = True


class Facts(Record):
    """What is wanted, and what is there; ``probe`` finds the second half out.

    ``memories`` are those of all tenants in a year, say. ``durable`` False: they may go with the process.
    ``installed`` are extras of this distribution (``pgvector``, ``embedded``, ``neo4j`` …);
    ``home`` is the folder of the settings, for files.
    """

    memories: int = Field(10_000, ge=0)
    dimension: int = Field(384, ge=1, le=16_000)
    queries_per_second: float = Field(1.0, ge=0, allow_inf_nan=False)
    writes_per_second: float = Field(1.0, ge=0, allow_inf_nan=False)
    processes: int = Field(1, ge=1)
    durable: bool = True
    ram_bytes: int = Field(4_000_000_000, ge=0)
    installed: frozenset[str] = frozenset()
    servers: tuple[Server, ...] = ()
    home: Path = Path("~/.local/share/diptych")

    def server(self, kind: str) -> Server | None:
        """Return the first server of a kind, one that answers before one that does not."""
        found = [server for server in self.servers if server.kind == kind]
        return next((server for server in found if server.answers), found[0] if found else None)
