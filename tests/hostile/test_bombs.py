"""What is small when it comes, and large or deep when it is taken apart, is refused; memory and time stay bounded."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from api.cli.importing import lines
from api.cli.importing.lines import Line, SourceError, split
from api.cli.importing.parse import LineError, Rules, parse
from api.lines import FullExportError, is_full, read_header
from api.masking import mask_url
from persistence.errors import BackupDamagedError, InvalidInputError, VectorStoreError, shorten
from persistence.files import FilePolicy
from persistence.files.frames import _HEAD, MARK, BadFrameError, frames, is_torn, pack
from persistence.records import MemoryDraft, validated
from persistence.vector.memory import FileStorage
from sync.backing.frames import _HEAD as FRAME_HEAD
from sync.backing.frames import LARGEST, MAGIC, Unpacker
from sync.backing.keys import Keys
from sync.backing.manifest import Encryption, Section
from sync.backing.rows import unpack
from tests.http.routes.conftest import client, graph, host, memories, truth
from tests.mcp.conftest import Served, served

__all__ = ["client", "graph", "host", "memories", "served", "truth"]

RULES = Rules("ada", 65_536)
#: Faults of one input; each that is kept costs more than a kilobyte.
MANY = 40_000
EXTRA = ",".join(f'"k{number}":1' for number in range(MANY))
FAULTS = {
    "entities": f'{{"content":"c","entities":[{",".join("5" * MANY)}]}}',
    "relationships": f'{{"content":"c","relationships":[{",".join("5" * MANY)}]}}',
    "fields": f'{{"content":"c",{EXTRA}}}',
    "fields of an entity": f'{{"content":"c","entities":[{{"name":"n","type":"t",{EXTRA}}}]}}',
}
DEEP = {
    f"{name} {depth}": opening * depth + "1" + closing * depth
    for name, opening, closing in (("list", "[", "]"), ("object", '{"a":', "}"))
    for depth in (985, 100_000)
}


@contextmanager
def bounded(megabytes: float) -> Iterator[None]:
    """See that the block takes no more memory than that at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


# --- lines and records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_a_line_full_of_faults(name: str) -> None:
    """Of a line with very many faults one is told; the others are not collected, at a kilobyte and more for each."""
    with bounded(30), pytest.raises(InvalidInputError):
        parse(Line("f", 1, FAULTS[name].encode()), RULES)


def test_a_key_that_stands_last_twice() -> None:
    """A repeated key is found in one pass, however many keys stand before it."""
    with pytest.raises(LineError, match="twice"):
        parse(Line("f", 1, f'{{{EXTRA},"k{MANY - 1}":1}}'.encode()), RULES)


@pytest.mark.parametrize("value", [10**5_000, [[]], object()], ids=["digits", "deep", "object"])
def test_a_refusal_of_what_cannot_be_shown(value: Any) -> None:
    """A value that Python itself cannot write down is refused in a sentence all the same."""
    for _ in range(100_000 if value == [[]] else 0):
        value = [value]
    with pytest.raises(InvalidInputError, match="metadata"):
        validated(MemoryDraft, {"user_id": "u", "content": "c", "metadata": {"a": value}})
    assert len(shorten(value)) < 100


def test_a_compressed_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is longer than anybody's is given up, not written to the disk until that is full."""
    monkeypatch.setattr(lines, "MAX_LINE", 1_000)
    monkeypatch.setattr(lines, "BUFFER", 1_000)
    monkeypatch.setattr(lines, "MAX_SPILL", 100_000)
    stream = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"x" * 10_000_000)))
    with bounded(5), pytest.raises(SourceError, match="bomb:1 is longer than 100,000 bytes"):
        list(split(io.BufferedReader(stream), "bomb"))


@pytest.mark.parametrize("name", DEEP)
def test_the_first_line_of_a_full_export(name: str) -> None:
    """A first line that is nested too deeply is no full export, and no header."""
    raw = f'{{"diptych":{DEEP[name]}}}'.encode()
    assert not is_full(raw)
    with pytest.raises((ValueError, FullExportError)):
        read_header(raw)


def test_masking_takes_one_pass() -> None:
    """A long text without a space is masked in time that grows with its length, not with its square."""
    for text in ("a" * 300_000, "a://u:" * 50_000, "@" + "a://u:" * 50_000, "password='" * 50_000):
        assert mask_url(text)
    assert mask_url(f"{'x' * 100_000}://u:hunter2@h {'y' * 100_000}").count("hunter2") == 0


# --- files and backups ------------------------------------------------------------------------------------------------


def test_a_frame_that_says_to_be_long() -> None:
    """A length is believed only as far as there are bytes: no memory is taken for the rest."""
    with bounded(5), pytest.raises(BadFrameError):
        list(frames(io.BytesIO(_HEAD.pack(MARK, 2**32 - 1, 0, b"0" * 16))))


def test_a_file_full_of_marks(tmp_path: Path) -> None:
    """Whoever fills an embedding with marks does not make the search behind a damage take hours; it is damage."""
    path, size = tmp_path / "log", 4_000_000
    marks = b"".join(_HEAD.pack(MARK, size - 32 - at, 9, b"0" * 16) for at in range(0, size, _HEAD.size))
    path.write_bytes(pack(0, b"header")[:-1] + marks)
    with path.open("rb") as file:
        assert not is_torn(file, 0, 37)


@pytest.mark.parametrize("payload", [b"[" * 5_000, b"5\n", b'[["memories",[[1]],[]]]\n', b'[["nothing",[],[]]]\n', b""])
@pytest.mark.parametrize("first", [b"{}", b'{"kind":"truth","format":2}', b'{"kind":"truth","format":-7}', b"["])
async def test_records_of_somebody_else_s(tmp_path: Path, first: bytes, payload: bytes) -> None:
    """A record whose checksum is right, and which says nothing of ours, is refused; the file stays as it was."""
    path = tmp_path / "truth-00000001.log"
    path.write_bytes(pack(0, first) + pack(1, payload))
    before = path.read_bytes()
    with pytest.raises(VectorStoreError, match=r"Record \d of .* was not written by diptych"):
        await FileStorage(tmp_path, FilePolicy()).open()
    assert path.read_bytes() == before


def test_a_frame_of_a_backup_that_unpacks_to_gigabytes() -> None:
    """A frame is not unpacked where it is, or says to be, larger than any that was ever written."""
    bomb = zstandard.ZstdCompressor().compress(bytes(LARGEST + 1))
    small = zstandard.ZstdCompressor().compress(b"[]\n")
    for body, said in ((bomb, LARGEST + 1), (bomb, 5), (small, LARGEST), (bomb[:50], 2**32 - 1)):
        part = MAGIC + FRAME_HEAD.pack(len(body), said, 1) + body
        with bounded(5), pytest.raises(BackupDamagedError):
            list(Unpacker(0, None).frames(io.BytesIO(part)))


@pytest.mark.parametrize("section", Section)
@pytest.mark.parametrize(
    "frame", [b"[5]\n", b'["abc"]\n', b"[[1,2,3]]\n", b"[null]\n", b'[{"inconsistency":{"entity":[]}}]\n']
)
def test_rows_of_somebody_else_s(section: Section, frame: bytes) -> None:
    """A row that has another shape, or values of other kinds, is damage, whatever its checksum says."""
    with pytest.raises(BackupDamagedError):
        unpack(section, frame)


@pytest.mark.parametrize(("n", "r"), [(2**20, 32), (2**14 + 1, 8)])
def test_a_manifest_that_asks_for_a_dear_key(n: int, r: int) -> None:
    """A manifest cannot make a guess at the passphrase cost gigabytes."""
    about = Encryption(n=n, r=r, salt="0" * 32, check="0" * 64)
    with pytest.raises(BackupDamagedError):
        Keys.of(about, "passphrase")


# --- HTTP and MCP -----------------------------------------------------------------------------------------------------


def refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 200_000


async def test_a_deep_body(client: httpx.AsyncClient) -> None:
    """A body that is nested deeply is refused, as a whole and in each place that takes any JSON."""
    for path in ("/memories", "/memories/batch", "/memories/search", "/persistence/sync"):
        for deep in DEEP.values():
            refused(await client.post(path, content=deep, headers=JSON))
            for place in PLACES:
                body = f'{{"user_id":"u","content":"c","query":"q","{place}":{deep}}}'
                refused(await client.post(path, content=body, headers=JSON))


JSON = {"content-type": "application/json"}
PLACES = ("metadata", "filters", "embedding", "entities", "content", "memories", "operation")


async def test_a_body_full_of_faults(client: httpx.AsyncClient) -> None:
    """A body with very many faults costs about as much memory as it is long, alone and in a batch."""
    refused(await client.post("/memories", content="5", headers=JSON))  # whatever is made once is made by now
    bodies = [("/memories/batch", f'{{"memories":[{said}]}}') for said in (",".join("5" * MANY), *FAULTS.values())]
    for path, body in (*bodies, *(("/memories", said) for said in FAULTS.values())):
        with bounded(30):
            refused(await client.post(path, content=body, headers=JSON))


async def test_a_compressed_body(client: httpx.AsyncClient) -> None:
    """A compressed body is not unpacked, so it cannot be a bomb; whoever sends one is told."""
    bomb = gzip.compress(b'{"content": "' + b"x" * 20_000_000 + b'"}')
    refused(await client.post("/memories", content="5", headers=JSON))
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        with bounded(10):
            refused(await client.post("/memories", content=bomb, headers={**JSON, "content-encoding": encoding}))


async def test_deep_parameters(client: httpx.AsyncClient) -> None:
    """A filter or a cursor in the address that is nested deeply is refused."""
    for deep in DEEP.values():
        answer = await client.get("/memories", params={"user_id": "u", "after": deep[:4_000]})
        assert answer.status_code < 500, answer.text[:300]
        refused(await client.get("/memories", params={"user_id": "u", "filters": deep[:10_000]}))


@pytest.mark.parametrize("name", [name for name in DEEP if "object" in name])
async def test_deep_messages(served: Served, name: str) -> None:
    """A message over MCP that is nested deeply is refused, as a whole and as arguments; the server goes on."""
    sent = {"authorization": "Bearer all-admin", "accept": "application/json, text/event-stream"}
    sent |= {"content-type": "application/json"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "remember", "arguments": "?"}}
    async with httpx.AsyncClient() as client:
        for body in (DEEP[name], json.dumps(call).replace('"?"', f'{{"content":"c","metadata":{DEEP[name]}}}')):
            answer = await client.post(served.url, content=body, headers=sent)
            assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    async with served.connect("ada-writes") as client:
        assert not (await client.call_tool("remember", {"content": "c"})).is_error


async def test_deep_arguments(served: Served) -> None:
    """Arguments that are nested as deeply as a message may be end in an error of the tool, not of the server."""
    deep: Any = 1
    for _ in range(60):
        deep = {"a": [deep]}
    async with served.connect("all-writes") as client:
        for given in ({"metadata": deep}, {"entities": [deep]}, {"content": "c", "filters": deep}):
            result = await client.call_tool("remember", {"content": "c", "user_id": "u", **given})
            assert result.is_error
            assert result.meta["diptych/problem"]["type"] == "InvalidInputError"
