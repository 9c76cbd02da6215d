"""Which commands there are. The module of one loads when it is called: `--help` and `--version` need none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

#: How help texts are marked up, that of the whole and that of each command.
MARKUP: Literal["markdown"] = "markdown"


class Listed(TyperCommand):
    """A command, or a group of them, as `--help` lists it, and the module whose `app` has it."""

    def __init__(self, name: str, module: str, says: str) -> None:
        super().__init__(name, help=says)
        self.module = f"api.cli.{module}"

    def load(self) -> Any:
        """Import the module, and return the command itself."""
        around = typer.Typer(rich_markup_mode=MARKUP)
        around.add_typer(import_module(self.module).app)
        return typer.main.get_group(around).commands[str(self.name)]


LISTED = (
    Listed("demo", "demo", "Show what diptych does, on real stores and real input, in half a minute."),
    Listed("import", "importing", "Import JSON lines, or a git repository's history, as memories."),
    Listed("store", "memories", "Store a memory in both stores."),
    Listed("get", "memories", "Show one memory."),
    Listed("list", "memories", "List a user's memories in the order of their ids, a page at a time."),
    Listed("delete", "memories", "Delete one memory, or with --all all memories of a user, from both stores."),
    Listed("search", "find", "Find memories by meaning, nearest first; the score is the cosine similarity."),
    Listed("related", "find", "Show memories that share an entity with one, or are related to it through the graph."),
    Listed(
        "status",
        "operate",
        "Show whether both stores answer, how much they hold, how much is in doubt, and what the last checks found.",
    ),
    Listed(
        "relay",
        "operate",
        "Bring the graph up to truth: work the outbox off until it is empty or only dead entries are left.",
    ),
    Listed(
        "check",
        "syncing.commands",
        "Compare both stores, both ways, and say where the graph is not what truth says.",
    ),
    Listed("repair", "syncing.commands", "Say what would bring the graph to what truth says; with --apply, do it."),
    Listed(
        "rebuild",
        "syncing.commands",
        "Write the graph anew from truth, of one tenant or of all, while everything goes on.",
    ),
    Listed(
        "sync",
        "syncing.commands",
        "Work off what is pending, check, repair, and check again: all of it in one, for cron.",
    ),
    Listed("runs", "syncing.runs", "The checks, repairs and rebuilds that there were, and are."),
    Listed(
        "migrate",
        "moving.migrate",
        "Copy a truth into another backend, and write a new graph from it, while everything goes on.",
    ),
    Listed("export", "moving.export", "Export memories as JSON lines, which `diptych import` reads."),
    Listed(
        "backup",
        "backing.commands",
        "Back the truth up, with versions and deletes: `diptych backup PATH` is `diptych backup create PATH`.",
    ),
    Listed(
        "restore",
        "backing.restoring",
        "Bring a backup back, into an empty truth or by version into one that has something: nothing newer gives way.",
    ),
    Listed(
        "erase",
        "backing.erase",
        "Erase a user, or one memory, from truth, graph, inconsistencies and runs, and say which backups hold it"
        " still.",
    ),
    Listed("dead-letters", "dead_letters", "The memories whose graph copy the relay gave up on."),
    Listed("schema", "schema", "The tables in the vector store, and which graph belongs to them."),
    Listed(
        "local",
        "local",
        "Real servers on this machine, without Docker. Their data lie in DIPTYCH_HOME (~/.local/share/diptych).",
    ),
    Listed(
        "doctor",
        "doctor",
        "Look at everything that has to be right: settings, both stores, schema, embeddings, what is in doubt.",
    ),
    Listed("config", "configuring", "The environment and the secrets of the production stack (Compose)."),
    Listed("keys", "keys", "The API keys that the server lets in."),
    Listed(
        "serve",
        "serving",
        "Serve the HTTP API, the dashboard and MCP, work off the outbox, and check on the schedule, until SIGTERM.",
    ),
    Listed(
        "worker",
        "serving",
        "Work off the outbox and check on the schedule, until SIGTERM or Ctrl-C.",
    ),
    Listed(
        "recommend",
        "choose",
        "Recommend a truth and a graph for what is wanted, from what is installed here and which servers answer.",
    ),
    Listed("mcp", "mcp", "Serve memories as tools of the Model Context Protocol, to the program that starts this."),
)


class Commands(TyperGroup):
    """The group of all commands; only the one that was named is loaded."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands.update({str(one.name): one for one in LISTED})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments name, and load it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found.load() if isinstance(found, Listed) else found, rest
