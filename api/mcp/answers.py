"""What the tools answer, as output schemas. The answers themselves are made by `api.shapes` and `sync.reports`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from persistence.ports.runs import Depth, RunKind, RunState
from persistence.results import HealthStatus, Outcome, StorageStatus
from sync import Kind, Strategy

Json = dict[str, Any]


class Memory(BaseModel):
    """One memory, without its embedding."""

    id: str
    user_id: str
    agent_id: str | None
    run_id: str | None
    content: str
    metadata: Json
    entities: list[Json] = Field(description="Objects with name, type and properties.")
    relationships: list[Json] = Field(description="Objects with source, type, target and properties.")
    extracted: bool = Field(description="Whether the entities were found in the content.")
    version: int
    digest: str
    created_at: str
    updated_at: str


class Written(BaseModel):
    """What became of one write. It is stored also where the outcome is pending: the graph follows."""

    status: str = Field(description="stored, already_stored, updated, deleted, already_deleted, already_absent, …")
    id: str
    user_id: str
    outcome: Outcome
    version: int | None
    vector: StorageStatus
    graph: StorageStatus
    error: str | None
    duration_ms: float
    memory: Memory | None


class ManyWritten(BaseModel):
    """What became of each memory, in the order given; the memories themselves are not repeated."""

    results: list[Written]


class Page(BaseModel):
    """Memories in the order of their ids."""

    memories: list[Memory]
    next: str | None = Field(description="What goes into after for the next page; null after the last.")


class Via(BaseModel):
    """The entity by which a memory was reached."""

    entity: str
    type: str


class Hit(BaseModel):
    """One memory found."""

    score: float | None = Field(description="Cosine similarity; null for one reached through the graph.")
    distance: int = Field(description="0: found by meaning; else steps in the graph.")
    via: list[Via]
    memory: Memory


class Found(BaseModel):
    """Memories found, the best first."""

    hits: list[Hit]
    degraded: str | None = Field(description="Why what the graph would add is missing; null where nothing is.")


class Neighbourhood(BaseModel):
    """What the graph holds of one memory."""

    live: bool
    version: int
    entities: list[Json]
    relationships: list[Json]


class Related(Found):
    """Memories related to one, and what the graph holds of that one."""

    neighbourhood: Neighbourhood | None = Field(description="Null where the graph has nothing of it yet.")


class Store(BaseModel):
    """The health of one store."""

    status: HealthStatus
    kind: str
    version: str | None
    latency_ms: float | None
    error: str | None


class Outbox(BaseModel):
    """The memories whose copy in the graph is in doubt."""

    pending: int
    dead: int
    oldest_age_s: float | None
    disabled: int
    exact: bool


class Count(BaseModel):
    """A number of memories; null where it was not obtained, a bound or an estimate where it is not exact."""

    value: int | None
    exact: bool


class Stores(BaseModel):
    """Both stores."""

    vector: Store
    graph: Store


class Counts(BaseModel):
    """What both stores hold."""

    vector: Count
    graph: Count


class Status(BaseModel):
    """The state of both stores and of what lies between them."""

    status: HealthStatus
    stores: Stores
    outbox: Outbox | None
    counts: Counts
    breaker: str
    last_check: Json | None = Field(description="By depth, what the newest check found; null: none was made.")
    checked_at: str


class Checked(BaseModel):
    """Memories looked at in each store."""

    vector: int
    graph: int


class CheckReport(BaseModel):
    """What a check found."""

    run_id: str
    depth: Depth
    user_id: str | None
    complete: bool = Field(description="False: something could not be read, and what was not found may be there.")
    in_step: bool = Field(description="Complete, no inconsistency, nothing pending.")
    checked: Checked
    pending: int
    dead: int
    found: int
    counts: dict[Kind, int]
    inconsistencies: list[Json]
    unknown: int
    independent: bool
    notes: list[str]
    advice: str | None
    started_at: str | None
    duration_ms: float


class RepairReport(CheckReport):
    """What a repair found and did, or would do."""

    dry_run: bool
    strategy: Strategy
    planned: int
    repaired: int
    refused: int
    failed: int


class Run(BaseModel):
    """One check, repair, rebuild, full sync or move."""

    run_id: str
    kind: RunKind
    user_id: str | None
    state: RunState
    request: Json
    report: Json | None
    attempts: int
    cancel_requested: bool
    started_at: str | None
    updated_at: str | None
    finished_at: str | None
    lease_expires_at: str | None


class Runs(BaseModel):
    """Runs, the newest first."""

    runs: list[Run]
    next: str | None = Field(description="What goes into before for the next page; null after the last.")
