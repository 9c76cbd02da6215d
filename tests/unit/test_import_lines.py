"""Lines of an import's input."""

import gzip
import io
import os
import threading
from pathlib import Path

import pytest

from api.cli.importing import lines
from api.cli.importing.lines import Interruptible, LineSource, SourceError, StoppedError, split


def read(path: Path) -> list[bytes]:
    return [line.raw for line in LineSource(str(path), threading.Event()).lines()]


def test_lines_are_numbered_from_one_and_keep_their_bytes(tmp_path):
    """A line is named by its number in the file, blank ones counted, and its bytes are those of the file."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\r\n\n\xff\xfe three")
    found = list(LineSource(str(path), threading.Event()).lines())
    assert [(line.number, line.raw) for line in found] == [(1, b"one\r"), (2, b""), (3, b"\xff\xfe three")]
    assert found[2].label == f"{path}:3"


def test_gzip_is_recognised_by_its_first_bytes(tmp_path):
    """A compressed file is read as what it holds, whatever its name."""
    path = tmp_path / "plain-name"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    assert read(path) == [b"one", b"two"]


def test_damaged_gzip_is_one_sentence(tmp_path):
    """A compressed file that is cut off is an error about the source, after the lines before the damage."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(os.urandom(20_000).hex().encode())[:-2_000])
    with pytest.raises(SourceError, match=r"cut\.gz cannot be read"):
        read(path)


def test_a_missing_file_and_a_folder_are_refused_at_once(tmp_path):
    """What cannot be read is refused before anything is stored."""
    with pytest.raises(SourceError, match="No such file"):
        LineSource(str(tmp_path / "none"), threading.Event())
    with pytest.raises(SourceError, match="is a folder"):
        LineSource(str(tmp_path), threading.Event())


def test_a_line_too_long_for_memory_is_spilled_and_copied_verbatim(monkeypatch):
    """A line over the limit is never held in memory, and can still be copied byte by byte; the next line is whole."""
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    monkeypatch.setattr(lines, "BUFFER", 4)
    found = list(split(io.BytesIO(b"x" * 35 + b"\nshort\n" + b"y" * 11), "f"))
    assert [line.spill is not None for line in found] == [True, False, True]
    copied = io.BytesIO()
    for line in found:
        line.copy_to(copied)
    assert copied.getvalue() == b"x" * 35 + b"\nshort\n" + b"y" * 11 + b"\n"


def test_a_line_of_just_the_limit_is_whole(monkeypatch):
    """The limit does not count the line's end."""
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    assert [line.raw for line in split(io.BytesIO(b"x" * 10 + b"\n" + b"y" * 10), "f")] == [b"x" * 10, b"y" * 10]


def test_a_read_that_waits_for_a_pipe_ends_at_the_stop_signal():
    """Nobody has to wait for the other end of a pipe once the import was interrupted."""
    stop = threading.Event()
    reader, writer = os.pipe()
    waiting = threading.Event()
    ended: list[type[BaseException]] = []

    def work() -> None:
        waiting.set()
        try:
            Interruptible(reader, stop).read(1)
        except StoppedError:
            ended.append(StoppedError)

    thread = threading.Thread(target=work)
    thread.start()
    waiting.wait()
    stop.set()
    thread.join(timeout=5)
    os.close(reader)
    os.close(writer)
    assert ended == [StoppedError]
