"""The Cypher that this adapter sends, each statement a file of its own with what it is for and what it takes."""

from __future__ import annotations

from importlib.resources import files
from typing import LiteralString


def _load(name: str) -> LiteralString:
    """Return a file of this package; what ships with the code is as literal as the code.

    Comments stay here: driver and server read them in every call (0.4 ms and more of the large statement's 2.5).
    """
    text = files(__package__).joinpath("cypher", f"{name}.cypher").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if _is_cypher(line))


def _is_cypher(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("//")


def _constraints() -> dict[str, LiteralString]:
    """Return the statements that make the constraints, by the constraint's name."""
    parts = [part.strip() for part in _load("constraints").split(";") if part.strip()]
    return {part[part.index("CREATE") :].split()[2]: part for part in parts}


APPLY = _load("apply")
COLLECT = _load("collect")
CONSTRAINTS = _constraints()
COUNT_ALL = _load("count_all")
COUNT_TENANT = _load("count_tenant")
ENTITIES = _load("entities")
PRESENT_CONSTRAINTS = _load("present_constraints")
REACH = _load("reach")
READ = _load("read")
SERVER_CLOCK = _load("server_clock")
SERVER_VERSION = _load("server_version")
STAMP = _load("stamp")
START = _load("start")
STEP = _load("step")
STORE = _load("store")
