"""Lines of the log: one for each unit of work, JSON off a terminal, for people on one, and masked either way."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from api.masking import Masker
from api.telemetry.logs import log_to
from persistence import AsyncPersistenceService, InvalidInputError, PersistenceConfig
from persistence.log import get_logger
from tests.faults.stores import ALICE, draft
from tests.telemetry.conftest import Telemetry

CONFIG = PersistenceConfig(embedding_dimension=8, enable_relay=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> object:
    """Take away what a test adds to our logger."""
    ours = logging.getLogger("diptych")
    before = list(ours.handlers)
    yield
    ours.handlers[:] = before
    ours.setLevel(logging.NOTSET)


async def test_one_line_a_write(seen: Telemetry) -> None:
    """A write has one line, with ids, outcome and durations of the parts; a read has none."""
    async with AsyncPersistenceService.connect(
        "memory://", "memory://", config=CONFIG, observer=seen.observer
    ) as memories:
        await memories.store(**draft(1))
        await memories.store_many([draft(number) for number in range(4)])
        await memories.get("m0001", user_id=ALICE)
        await memories.search("Person", user_id=ALICE)
        await memories.delete("m0001", user_id=ALICE)
        with pytest.raises(InvalidInputError):
            await memories.store("Person", user_id="")
    lines = [line for line in seen.lines() if "duration_ms" in line]
    assert [line["action"] for line in lines] == ["store", "store_many", "delete", "store"]
    assert [line.get("outcome", line.get("outcomes")) for line in lines] == [
        "in_step", {"in_step": 4}, "in_step", "refused",
    ]  # fmt: skip
    assert lines[-1]["error"] == "InvalidInputError"
    assert [line["level"] for line in lines] == ["info", "info", "info", "warning"]
    assert all({"message", "timestamp"} <= line.keys() for line in lines)


async def test_one_line_a_request(seen: Telemetry) -> None:
    """A request has one line with its route's template, its status and its time, and the id that the answer names."""
    async with (
        AsyncPersistenceService.connect("memory://", "memory://", config=CONFIG, observer=seen.observer) as memories,
        seen.client(memories) as client,
    ):
        await client.get("/metrics?secret=1")
        await client.get("/nothing")
    first, second = seen.lines("request")
    assert (first["method"], first["route"], first["status"], first["outcome"]) == ("GET", "/metrics", 200, "2xx")
    assert (second["route"], second["status"], second["outcome"]) == ("none", 404, "4xx")
    assert "secret" not in seen.stream.getvalue()


def test_json_off_a_terminal() -> None:
    """Each line is one JSON object, whatever is in it, errors with their traceback included."""
    stream = io.StringIO()
    log_to(stream, lambda text: text)
    get_logger("test").info("A line\nwith a break.", action="test", number=1, text='"quoted"')
    get_logger("test").error("It ended by a defect.", action="test", exc_info=ValueError("a defect"))
    plain, error = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (plain["message"], plain["number"], plain["level"]) == ("A line\nwith a break.", 1, "info")
    assert "ValueError: a defect" in error["exception"]


def test_for_people_on_a_terminal() -> None:
    """On a terminal a line is a sentence with its fields, not JSON."""
    stream = Terminal()
    log_to(stream, lambda text: text)
    get_logger("test").info("A sentence.", action="test")
    assert "A sentence." in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "people"])
def test_secrets_are_masked(stream: io.StringIO) -> None:
    """Whatever line has a secret of this process's in it is written without."""
    log_to(stream, Masker(["postgresql://user:pass-Zebra@host/db"], {"MY_API_KEY": "sk-Okapi"}))
    get_logger("test").warning("It said pass-Zebra.", action="test", key="sk-Okapi", url="neo4j://n:other@h")
    assert not any(secret in stream.getvalue() for secret in ("pass-Zebra", "sk-Okapi", "other"))
    assert stream.getvalue().count("***") == 3


def test_what_is_bound_to_a_request_is_in_its_lines() -> None:
    """A request id that is bound in the context is in every line that is written within it."""
    stream = io.StringIO()
    log_to(stream, lambda text: text)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        get_logger("test").info("Within.", action="test")
    get_logger("test").info("After.", action="test")
    within, after = (json.loads(line) for line in stream.getvalue().splitlines())
    assert within["request_id"] == "r1"
    assert "request_id" not in after


def test_other_libraries_stay_away(capfd: pytest.CaptureFixture[str]) -> None:
    """A library's own record, which may quote a connection string, is neither in the stream nor on stderr."""
    stream = io.StringIO()
    log_to(stream, lambda text: text)
    logging.getLogger("somebody.else").warning("postgresql://user:secret@host")
    assert stream.getvalue() == ""
    assert capfd.readouterr().err == ""
