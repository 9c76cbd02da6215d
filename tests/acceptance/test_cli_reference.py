"""The command line's own description: complete, and the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli._reference import renewed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_is_that_of_the_commands():
    """docs/reference/cli.md lists every command and option there is; its module's docstring says how to renew it."""
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page


@pytest.mark.parametrize("command", ["dead-letters retry"])
def test_help_names_the_options_of_every_command(bare, command):
    """`COMMAND --help` needs no store, exits with 0, and shows the options that every command has."""
    ran = bare(*command.split(), "--help", COLUMNS="200")
    assert (ran.code, ran.err) == (0, "")
    for option in ("--vector-url", "--graph-url", "--json", "--verbose", "--no-color"):
        assert option in ran.out
