"""The options that every command has, and those that several share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import typer

PANEL = "Everywhere"

VectorUrl = Annotated[
    str | None,
    typer.Option(
        "--vector-url",
        metavar="URL",
        help="Where the truth is: postgresql://…, sqlite:///…, embedded://, auto. Else DIPTYCH_VECTOR_URL.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
GraphUrl = Annotated[
    str | None,
    typer.Option(
        "--graph-url",
        metavar="URL",
        help="Where the graph is: neo4j://…, postgresql://…, memory://, none://, auto. Else DIPTYCH_GRAPH_URL.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=PANEL)]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say what happens, and show an error's causes.", rich_help_panel=PANEL)
]
NoColor = Annotated[bool, typer.Option("--no-color", help="Print no colours.", rich_help_panel=PANEL)]

User = Annotated[
    str, typer.Option("--user", "-u", metavar="USER", help="Whose memories: the tenant.", show_default=False)
]
Agent = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="The agent of the memory.", show_default=False)
]
Run = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="The agent's run of the memory.", show_default=False)
]
Where = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""What the metadata must be, such as '{"topic": "travel", "year": {"gte": 2020}}'.""",
        show_default=False,
    ),
]
MemoryId = Annotated[str, typer.Argument(metavar="ID", help="The memory's id.", show_default=False)]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.001, help="How long the call may take at most.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """What was given of the options that every command has."""

    vector_url: str | None = None
    graph_url: str | None = None
    json: bool = False
    verbose: bool = False
    no_color: bool = False

    def over(self, base: CommonOptions) -> CommonOptions:
        """Return ``base`` with what is given here taking precedence; a switch once on stays on."""
        return replace(
            self,
            vector_url=self.vector_url or base.vector_url,
            graph_url=self.graph_url or base.graph_url,
            json=self.json or base.json,
            verbose=self.verbose or base.verbose,
            no_color=self.no_color or base.no_color,
        )
