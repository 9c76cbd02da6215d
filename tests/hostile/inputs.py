"""Everything that takes apart what others wrote: each takes bytes, and may end in an error of ours alone.

Hypothesis feeds them in `make test`, a fuzzer that looks at coverage in `make fuzz`.
"""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from pydantic import TypeAdapter, ValidationError

from api.access import Denied, Scope, Unauthenticated
from api.access.keyfile import KeyFile
from api.access.keys import make_key, parts_of
from api.access.tokens import Shared, Tokens
from api.cli.importing.lines import Line, split
from api.cli.importing.parse import LineError, Rules, parse
from api.http.models.memories import BatchAsked, MemoryAsked, PatchAsked, SearchAsked
from api.http.routes import cursors
from api.http.routes.memories import _filters
from api.lines import is_full, read_header, read_line
from api.masking import mask_url
from api.mcp.server import TOOLS
from persistence.errors import BackupError, InvalidInputError, PersistenceError
from persistence.extraction.rules import _extract
from persistence.files import FilePolicy
from persistence.files.folder import LOG, SNAPSHOT, Folder
from persistence.files.frames import pack
from persistence.filters import make_filter, matches
from persistence.graph.memory import FileGraph
from persistence.records import MemoryDraft, validated
from persistence.urls import folder, mask
from persistence.vector.memory import FileStorage
from sync.backing import manifest, rows
from sync.backing.frames import MAGIC, Unpacker
from sync.backing.keys import Keys
from sync.backing.manifest import Encryption, Section
from tests.contract.vector.making import IN_MEMORY

SECRET = b"a secret of thirty-two bytes and more"
RULES = Rules("ada", 65_536)
NEVER = FilePolicy(fsync="never", persist_every=1e9)
ISSUED, KEY = make_key("fuzz", frozenset({Scope.READ}), now=datetime(2026, 1, 1, tzinfo=UTC))
_CURSOR = TypeAdapter(tuple[str, int])
KEY_ID = KEY.split("_")[1]


def _loaded(data: bytes) -> Any:
    """Return what JSON says; what is none is none of the inputs' business. Any text stands for itself, too."""
    with suppress(ValueError, RecursionError):
        return json.loads(data)
    return data.decode("utf-8", "surrogateescape")


def import_line(data: bytes) -> None:
    """Cut and read lines of an import; a line that is taken says what it said."""
    for line in split(io.BytesIO(data), "fuzz"):
        with suppress(LineError, InvalidInputError):
            made = parse(line, RULES)
            again = parse(Line("fuzz", 1, made.model_dump_json(exclude_none=True).encode()), RULES)
            assert again == made


def full_export(data: bytes) -> None:
    """Read lines of a full export."""
    for read in (read_header, read_line):
        with suppress(PersistenceError, ValueError):
            read(data)
    is_full(data)


def filter_language(data: bytes) -> None:
    """Read a filter; what it lets pass is decided without an error."""
    said = _loaded(data)
    with suppress(InvalidInputError):
        where = make_filter(filters=said if isinstance(said, dict) else {"a": said})
        matches(where, None, None, {"a": said, "b": {"c": [1, None, "x"]}})
    with suppress(InvalidInputError):
        _filters(data.decode("utf-8", "replace"))


def records(data: bytes) -> None:
    """Check a draft as a caller of the library gives it, and the models of HTTP."""
    said = _loaded(data)
    for given in (said, {"user_id": "u", "content": "c", **(said if isinstance(said, dict) else {"metadata": said})}):
        with suppress(InvalidInputError):
            validated(MemoryDraft, given)
        for model in (MemoryAsked, BatchAsked, PatchAsked, SearchAsked):
            with suppress(ValidationError):
                model.model_validate(given)


def mcp_arguments(data: bytes) -> None:
    """Check arguments of every tool."""
    said = _loaded(data)
    for tool in TOOLS.values():
        with suppress(InvalidInputError):
            validated(tool.given, said if isinstance(said, dict) else {"content": said, "id": said, "query": said})


def token(data: bytes) -> None:
    """Read a token of anybody's, and one whose claims are anything though its signature is right."""
    for made in (data.decode("latin-1"), jwt.PyJWS().encode(data, SECRET, "HS256")):
        for tokens in (Tokens(Shared(SECRET)), Tokens(Shared(SECRET), audience="a", issuer="i")):
            with suppress(Unauthenticated, Denied):
                found = asyncio.run(tokens.identify(made))
                assert found.user_id is not None or Scope.ADMIN in found.scopes


def token_header(data: bytes) -> None:
    """Read a token whose header is anything, signed with nothing: it stands for nobody."""
    head, claims = (jwt.utils.base64url_encode(part).decode() for part in (data, b'{"exp":99999999999}'))
    for signature in ("", "AAAA"):
        with suppress(Unauthenticated):
            asyncio.run(Tokens(Shared(SECRET)).identify(f"{head}.{claims}.{signature}"))
            raise AssertionError(f"a token that nobody signed was taken: {data!r}")


def api_key(data: bytes) -> None:
    """Read a key of anybody's, and a file of keys."""
    for said in (data.decode("latin-1"), f"dk_{KEY_ID}_{data.decode('latin-1')}"):
        parts = parts_of(said)
        assert parts is None or said == KEY or not ISSUED.opens_for(parts[1])
    with suppress(PersistenceError):
        KeyFile(Path("keys.json"))._parsed(data)


def cursor(data: bytes) -> None:
    """Read a cursor of a page."""
    with suppress(InvalidInputError):
        cursors.read(_CURSOR, data.decode("latin-1"))


def backup_rows(data: bytes) -> None:
    """Unpack rows of each section of a backup."""
    for section in Section:
        with suppress(BackupError):
            rows.unpack(section, data)


def backup_part(data: bytes) -> None:
    """Unpack a part of a backup, with the beginning that it must have and without."""
    for said in (data, MAGIC + data):
        with suppress(BackupError):
            for frame in Unpacker(0, None).frames(io.BytesIO(said)):
                rows.unpack(Section.HEADS, frame)


def backup_manifest(data: bytes) -> None:
    """Read a manifest, also one whose digest is right."""
    said = _loaded(data)
    sealed = {"manifest": said, "sha256": manifest.digest(said), "seal": None} if isinstance(said, dict) else said
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        for written in (data, json.dumps(sealed).encode()):
            (Path(name) / manifest.NAME).write_bytes(written)
            with suppress(BackupError):
                manifest.read(Path(name))


def passphrase(data: bytes) -> None:
    """Take what a manifest says of how a key is made, and the passphrase."""
    n, r, p = 2 ** (14 + len(data) % 7) - (len(data) % 3 == 1), 1 + len(data) % 32, 1
    about = Encryption(n=max(n, 2**14), r=r, p=p, salt="0" * 32, check="0" * 64)
    if n * r <= 2**15 or n * r > 2**21:  # quick, or refused
        with suppress(BackupError):
            Keys.of(about, data.decode("utf-8", "surrogateescape"))


def file_store(data: bytes) -> None:
    """Open files of a truth and of a graph: as bytes, and as records whose checksums are right; logs and snapshots."""
    head = json.dumps({"kind": "truth", "format": 2, "of": 1, "after": None}).encode()
    framed = b"".join(pack(number, part) for number, part in enumerate([head, *data.split(b"\xff")]))
    kinds: list[tuple[str, Callable[[Path], Any]]] = [
        ("truth", lambda path: FileStorage(path, NEVER)),
        ("graph", lambda path: FileGraph(path, NEVER)),
    ]
    for name, make in kinds:
        for kind in (LOG, SNAPSHOT):
            for content in (data, framed.replace(b"truth", name.encode()), framed[: len(data)] + data):
                with tempfile.TemporaryDirectory(dir=IN_MEMORY) as place:
                    Folder(Path(place), name).file(kind, 1).write_bytes(content)
                    asyncio.run(_opened(make(Path(place))))


async def _opened(storage: Any) -> None:
    with suppress(PersistenceError):
        held = await storage.open()
        await (storage.close() if held is None else storage.close(held))


def urls(data: bytes) -> None:
    """Read URLs of stores, and any text in which one may stand: no password is shown."""
    said = data.decode("utf-8", "replace")
    mask_url(said)
    mask(f"file://{said}")
    with suppress(PersistenceError, ValueError):
        assert "\0" not in str(folder(f"file://{said}"))


def extraction(data: bytes) -> None:
    """Look for names in a text."""
    _extract(data.decode("utf-8", "replace"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        import_line, full_export, filter_language, records, mcp_arguments, token, token_header, api_key, cursor,
        backup_rows, backup_part, backup_manifest, passphrase, file_store, urls, extraction,
    )
}  # fmt: skip

#: From here on a fuzzer begins, since it would take long to find out how an input begins.
SEEDS: dict[str, list[bytes]] = {
    "import_line": [
        (
            b'{"user_id":"u","content":"c","metadata":{"a":[1,{"b":null}]},"entities":[{"name":"A","type":"T","properties":'
            b'{"p":[1.5]}}],"relationships":[{"source":"A","type":"R","target":"A"}],"embedding":[1,2],'
            b'"created_at":"2026-01-01T00:00:00Z"}\n'
        ),
    ],
    "full_export": [
        b'{"diptych":"full export","format":1,"model":"m","dimension":2,"floor":3,"user_id":null}',
        b'{"user_id":"u","id":"i","version":5,"deleted":true}',
        b'{"end":{"memories":1,"tombstones":0,"floor":1}}',
        (
            b'{"id":"i","user_id":"u","content":"c","extracted":false,"embedding":[1],"version":2,"digest":"7",'
            b'"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}'
        ),
    ],
    "filter_language": [b'{"trip.year":{"gte":2020,"lt":2030},"s":{"in":["a",null]},"t":{"exists":false}}'],
    "records": [b'{"memories":[{"content":"c","entities":[{"name":"A","type":"T"}]}],"query":[1,2],"limit":3}'],
    "mcp_arguments": [b'{"user_id":"u","content":"c","id":"i","query":"q","depth":"quick","memories":[{"content":1}]}'],
    "token": [b'{"exp":99999999999,"scope":"read admin","user_id":"u","sub":"s","aud":"a","iss":"i","nbf":1}'],
    "token_header": [b'{"alg":"none"}', b'{"alg":"HS256","kid":"../../x","typ":"JWT","crit":["b64"],"b64":false}'],
    "api_key": [KEY.encode(), b'{"version":1,"keys":[]}'],
    "cursor": [b"WyJhIiwxXQ"],
    "backup_rows": [
        (
            b'[["i","u",null,null,"c","{}","[]","[]",false,1,2,"2026-01-01T00:00:00+00:00","2026-01-01T00:00:00+00:00"]]\n'
            b"\0\0\x80?"
        ),
        b'[["u","i",1,2]]\n',
        b'[{"user_id":"u","entry_id":"00000000-0000-0000-0000-000000000000","created_at":"2026-01-01T00:00:00+00:00"}]',
        b'[{"inconsistency":{"entity":["a","b"],"kind":"missing_in_graph","depth":"quick"},"number":1}]',
    ],
    "backup_manifest": [b'{"format":1,"diptych":"backup","chain":1,"counts":{},"parts":[],"encryption":null}'],
    "file_store": [
        b'[["about",[["00000000-0000-0000-0000-000000000000","m",2,0,null,1,1,1]],[]],["memories",[],[["u","i"]]]]\n',
        b'{"nodes":[["u","i",[1,2,null,null,["c",null,null,[],[],5]]]],"names":[["u","t","k","n"]],"stamp":null}',
    ],
    "urls": [b"/a%2Fb?x=1", b"postgresql://u:p@h/d password=x"],
    "extraction": [
        b"Dr. Ada L. works at Babbage & Co., see https://a.b/c(d) and ada@b.co #1 DIP-2 @x /etc/passwd.d/x.py"
    ],
}
