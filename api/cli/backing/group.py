"""A group of commands one of which needs no name: `backup PATH` is `backup create PATH`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

UNNAMED = "create"


class WithUnnamed(TyperGroup):
    """A group where a first argument that is no command's name belongs to ``UNNAMED``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name in where it was left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [UNNAMED, *args]
        return super().parse_args(ctx, args)
