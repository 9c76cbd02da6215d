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


def _either(head: str, tail: str) -> dict[bool, LiteralString]:
    """Return a statement in two: for all tenants (False) and for one (True). What follows is the same."""
    return {one: _load(f"{head}_{'tenant' if one else 'all'}") + "\n" + _load(tail) for one in (False, True)}


APPLY = _load("apply")
AWAIT_INDEXES = _load("await_indexes")
BUCKET_ROWS = {False: _load("bucket_rows_all"), True: _load("bucket_rows_tenant")}
BUCKET_SUMS = _either("bucket_sums", "bucket_sums")
BUCKET_SUMS_WHOLE = _load("bucket_sums_whole")
CLEAR_EDGES = _load("clear_edges")
CLEAR_ENTITIES = _load("clear_entities")
CLEAR_MEMORIES = _load("clear_memories")
COLLECT = _load("collect")
CONSTRAINTS = _constraints()
COUNT_ALL = _load("count_all")
COUNT_TENANT = _load("count_tenant")
CUT_ENTITIES = _load("cut_entities")
CUT_STRAYS = _load("still_stray") + "\n" + _load("cut_strays")
ENTITIES = _load("entities")
HEADS = _load("heads")
LONE_ENTITIES = _load("lone_entities")
LOOSE_ENDS = _either("entity_page", "loose_ends")
PRESENT_INDEXES = _load("present_indexes")
REACH = _load("reach")
READ = _load("read")
#: The same with the memory's lock taken first: nobody is writing what is read then.
READ_LOCKED = READ.replace("CALL (m) {", "SET m:DiptychMemory\nWITH m\nCALL (m) {", 1)
SERVER_CLOCK = _load("server_clock")
SERVER_VERSION = _load("server_version")
STAMP = _load("stamp")
RELEASE = _load("release")
START = _load("start")
STEP = _load("step")
STILL_STRAY = _load("still_stray") + "\n" + _load("still_stray_ids")
STORE = _load("store")
THERE_ENTITIES = _load("there_entities")
TORN = _either("torn", "torn")
UNSTAMPED = _either("unstamped", "unstamped")
