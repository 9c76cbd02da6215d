"""The reference of all commands, made from the commands themselves.

``python -m api.cli._reference docs/reference/cli.md`` writes it anew into that file, behind the line ``MARKER``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.cli._commands import LISTED
from api.cli._options import PANEL

MARKER = "<!-- from here on made by `python -m api.cli._reference` -->\n"
#: Options that every command has, said once.
_COMMON_PANELS = (PANEL,)


def reference() -> str:
    """Return a section in Markdown for each command, in the order of `--help`."""
    return "\n".join(
        line
        for one in LISTED
        for path, command in _leaves(one.load(), (str(one.name),))
        for line in _section(path, command)
    )


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _leaves(inner, (*path, name))


def _section(path: tuple[str, ...], command: Any) -> Iterator[str]:
    own = [p for p in command.params if getattr(p, "rich_help_panel", None) not in _COMMON_PANELS and p.name != "help"]
    usage = " ".join(["diptych", *path, "[OPTIONS]", *(_argument(p) for p in own if _is_argument(p))])
    yield f"### `{' '.join(path)}`\n"
    yield f"```\n{usage}\n```\n"
    yield _paragraphs(command.help or "")
    if own:
        yield "| | |\n| --- | --- |"
        yield from (f"| {_name(p)} | {_explained(p)} |" for p in own)
        yield ""


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _name(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{_argument(parameter)}`"
    names = ", ".join(f"`{name}`" for name in sorted(parameter.opts, key=len, reverse=True))
    return names if parameter.is_flag or not parameter.metavar else f"{names} {_code(parameter.metavar)}"


def _explained(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    if parameter.required:
        return f"{text} Required."
    if _is_argument(parameter) or parameter.is_flag or parameter.default in (None, (), []):
        return text
    return f"{text} Default: {_code(str(getattr(parameter.default, 'value', parameter.default)))}."


def _code(text: str) -> str:
    return f"`{text}`"


def _paragraphs(text: str) -> str:
    """Join the lines of each paragraph, as `--help` does."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n")) + "\n"


def renewed(page: str) -> str:
    """Return a page with what stands behind the marker made anew."""
    return page.partition(MARKER)[0] + MARKER + "\n" + reference()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
