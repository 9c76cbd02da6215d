"""What the tools take: each field with its bounds and, for whoever reads the schema, what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from persistence.records import Content, Entities, Relationships, check_ends, check_fields
from persistence.text import JsonObject, Name, Text
from sync import Depth, RunKind, RunState, Strategy

MAX_MANY = 100
MAX_PAGE = 100

Id = Annotated[Name, Field(description="The memory's id.")]
Version = Annotated[
    int | None, Field(ge=1, lt=2**53, description="Refuse unless the memory is at this version, as last read.")
]
Agent = Annotated[Name | None, Field(description="The agent that the memory is of.")]
AgentRun = Annotated[Name | None, Field(description="The agent's run that the memory is of.")]
Metadata = Annotated[
    JsonObject | None, Field(description="Any JSON object, kept with the memory; it can be filtered by.")
]
GivenEntities = Annotated[
    Entities | None,
    Field(description="The people, places and things it mentions. Left out, they are found in the content."),
]
GivenRelationships = Annotated[
    Relationships | None,
    Field(description="What it says of them; source and target are names of entities given here."),
]
Filters = Annotated[
    dict[str, Any] | None,
    Field(
        description="What the metadata must be: paths with a value, or with eq, ne, in, gt, gte, lt, lte, exists or "
        'contains, such as {"topic": "travel", "trip.year": {"gte": 2020}}.'
    ),
]


class Given(BaseModel):
    """Arguments of a tool; what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _few = model_validator(mode="before")(check_fields)


class OfTenant(Given):
    """Arguments of a tool that works for one tenant, or (where it says so) for all."""

    user_id: Name | None = Field(None, description="Whose memories: the tenant.")


class New(Given):
    """A memory to be remembered."""

    content: Annotated[Content, Field(description="What to remember, in words.")]
    entities: GivenEntities = None
    relationships: GivenRelationships = None
    metadata: Metadata = None
    agent_id: Agent = None
    run_id: AgentRun = None
    created_at: AwareDatetime | None = Field(None, description="When it came to be, if not now: RFC 3339 with a zone.")
    idempotency_key: Name | None = Field(
        None, description="Any text of the caller's; a call repeated with the same key stores nothing more."
    )

    @model_validator(mode="after")
    def _ends_are_entities(self) -> Self:
        check_ends(self.entities or (), self.relationships or ())
        return self


class Remember(New, OfTenant):
    """Arguments of remember."""


class RememberMany(OfTenant):
    """Arguments of remember_many."""

    memories: Annotated[
        tuple[New, ...],
        Field(min_length=1, max_length=MAX_MANY, fail_fast=True, description=f"1 to {MAX_MANY} memories."),
    ]


class Search(OfTenant):
    """Arguments of search."""

    query: Annotated[Text, Field(min_length=1, description="What to look for, in words.")]
    limit: int = Field(10, ge=1, le=MAX_PAGE, description="How many at most.")
    expand: int = Field(0, ge=0, le=5, description="Also memories that the graph reaches from these in so many steps.")
    agent_id: Agent = None
    run_id: AgentRun = None
    filters: Filters = None


class One(OfTenant):
    """Arguments of a tool that looks at one memory."""

    id: Id


class Listing(OfTenant):
    """Arguments of list."""

    after: Text | None = Field(None, description="The former page's next, to go on behind it.")
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="How many at most.")
    agent_id: Agent = None
    run_id: AgentRun = None
    filters: Filters = None


class Relate(One):
    """Arguments of relate."""

    depth: int = Field(1, ge=1, le=5, description="1: memories that share an entity; each more: one relationship on.")
    limit: int = Field(10, ge=1, le=MAX_PAGE, description="How many related memories at most.")


class Update(One):
    """Arguments of update; a field that is given replaces that whole field, one left out stays."""

    content: Annotated[Content | None, Field(description="The new text; it is embedded anew.")] = None
    entities: GivenEntities = None
    relationships: GivenRelationships = None
    metadata: Metadata = None
    agent_id: Agent = None
    run_id: AgentRun = None
    expected_version: Version = None


class Forget(One):
    """Arguments of forget."""

    expected_version: Version = None


class Status(OfTenant):
    """Arguments of status."""

    user_id: Name | None = Field(None, description="Only of this tenant; left out: of all.")


class Check(OfTenant):
    """Arguments of check."""

    user_id: Name | None = Field(None, description="Only this tenant's memories; left out: everyone's.")
    depth: Depth = Field(
        Depth.QUICK, description="quick: versions and digests; structure: also edges; full: also every property."
    )
    ids: tuple[Name, ...] | None = Field(None, min_length=1, max_length=1_000, description="Only these memories.")
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="How many inconsistencies are listed; all are counted.")


class Repair(Check):
    """Arguments of repair."""

    apply: bool = Field(False, description="True: mend. False: say what would be done, and change nothing.")
    strategy: Strategy = Field(
        Strategy.TRUTH_WINS,
        description="truth_wins: add, replace, delete; graph_missing_only: add alone; report_only: nothing.",
    )
    force: bool = Field(False, description="Delete orphans also where there are suspiciously many of them.")
    check_run_id: UUID | None = Field(None, description="Mend what this check found, instead of checking anew.")


class Runs(OfTenant):
    """Arguments of runs."""

    user_id: Name | None = Field(None, description="Only runs of this tenant; left out: all runs.")
    id: UUID | None = Field(None, description="Only this run, with its whole report.")
    kind: RunKind | None = Field(None, description="Only of this kind.")
    state: RunState | None = Field(None, description="Only in this state.")
    before: UUID | None = Field(None, description="The former page's next, to go on behind it.")
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="How many at most, the newest first.")
