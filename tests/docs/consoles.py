"""What a console block says: commands, what each is shown to print, and whether that is what was printed."""

from __future__ import annotations

import re
import shlex
import tomllib

from tests.docs.blocks import ROOT, Block


def commands_of(text: str) -> list[tuple[str, str]]:
    """Return each command with what it is shown to print; a backslash or a here-document continues a command."""
    found: list[tuple[str, str]] = []
    until: str | None = None
    goes_on = False
    for line in text.splitlines(keepends=True):
        if not goes_on and not line.startswith("$ "):
            found[-1] = (found[-1][0], found[-1][1] + line)
            continue
        found = [*found[:-1], (found[-1][0] + line, "")] if goes_on else [*found, (line[2:], "")]
        until = _document(line, until)
        goes_on = until is not None or line.rstrip().endswith("\\")
    return [(command.strip(), shown) for command, shown in found]


def _document(line: str, until: str | None) -> str | None:
    """Return the word at which the here-document ends that this line begins or goes on with; None outside one."""
    if until is not None:
        return None if line.strip() == until else until
    here = re.search(r"<<-? *'?(\w+)'?", line)
    return here[1] if here else None


def matches(wanted: str, printed: str) -> bool:
    """Say whether this was printed; `…` stands for anything, and spaces at the end of a line for nothing."""
    pattern = ".*".join(re.escape(part) for part in _trimmed(wanted).split("…"))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def assert_shown(shown: str, printed: str, block: Block) -> None:
    """Hold what a page shows to what was printed."""
    assert matches(shown, printed), f"{block} shows\n{shown}\nbut this was printed:\n{printed}"


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def installable(what: str) -> bool:
    """Say whether the packages and extras that a page wants installed are those that there are."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    wanted = [word.rstrip("]").partition("[") for word in shlex.split(what, comments=True)]
    return all(name in {"diptych", "."} and set(filter(None, more.split(","))) <= extras for name, _, more in wanted)
