"""The options that checks, repairs and rebuilds share."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from persistence.errors import PersistenceError
from sync import Depth, Pace, Strategy
from sync.service import MAX_LIMIT

GENTLE = "How gently"
#: What a pace must be at least; nothing slower is meant.
SLOWEST = 0.001

DepthOption = Annotated[
    Depth,
    typer.Option(
        "--depth",
        help="How closely to look: quick compares what both stores have noted of each memory, structure also the edges "
        "that are there, full also every property.",
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option("--user", "-u", metavar="USER", help="Only this tenant; else all of them.", show_default=False),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="Only this memory of --user. Repeat it for more.", show_default=False),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="N", min=1, max=MAX_LIMIT, help="List so many inconsistencies; all of them are counted."
    ),
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(
        "--strategy",
        help="truth_wins brings the graph to what truth says; graph_missing_only adds what the graph lacks, and "
        "replaces and deletes nothing; report_only changes nothing.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Delete orphans also where they are more than 1,000 or 10 % of a tenant.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="ROWS_PER_S",
        min=SLOWEST,
        help="Memories in a second, at most.",
        rich_help_panel=GENTLE,
        show_default=False,
    ),
]
MaxResponse = Annotated[
    float | None,
    typer.Option(
        "--max-response",
        metavar="MS",
        min=SLOWEST,
        help="Let a store rest that took longer to answer.",
        rich_help_panel=GENTLE,
        show_default=False,
    ),
]
RunId = Annotated[UUID, typer.Argument(metavar="ID", help="The run's id.", show_default=False)]


def pace(rate: float | None, max_response: float | None) -> Pace:
    """Return how gently the stores are to be treated."""
    return Pace(rate, max_response)


def checked_ids(command: str, user: str | None, ids: list[str] | None) -> list[str] | None:
    """Return the ids that were given, if any. Raises PersistenceError where nobody says whose they are."""
    if ids and user is None:
        raise PersistenceError("An id is that of one tenant, so --id takes --user too.", hint=f"{command} --help")
    return ids or None
