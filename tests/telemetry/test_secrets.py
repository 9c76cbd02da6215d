"""Secrets and contents that were planted everywhere are in no line, metric, trace or error of the whole run."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Awaitable
from typing import Any

import pytest
from pydantic import SecretStr

from api.telemetry.logs import log_to
from persistence import AsyncPersistenceService, Key, PersistenceError
from persistence.embedding.openai import OpenAIEmbedder
from persistence.extraction.openai import OpenAIExtractor
from sync import AsyncSyncService
from tests.faults import drifts
from tests.faults.stores import Stores
from tests.openai_server import DIMENSION, openai_server, reset, status
from tests.telemetry.conftest import Telemetry

PASSWORD, API_KEY = "pass-w0rd-Zebra", "sk-Okapi-17"  # what must never show
CONTENT, METADATA = "Quagga drinks tea with Dodo.", "Caracal"
TENANT, MEMORY = "tenant-Serval", "memory-Ocelot"
SECRETS = (PASSWORD, API_KEY, "Quagga", "Dodo", METADATA)
IDS = (TENANT, MEMORY)


def _away() -> str:
    """Return the URL of a Neo4j that is not there, with the password in it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"bolt://neo4j:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/neo4j"


async def _said(call: Awaitable[Any]) -> str:
    """Return what an error says to whoever sees it, and nothing where there is none."""
    try:
        await call
    except PersistenceError as error:
        return "\n".join((str(error), error.hint or "", repr(error), *getattr(error, "__notes__", ())))
    return ""


async def _live(memories: AsyncPersistenceService, stores: Stores, script: Any) -> list[str]:
    """Do everything once, well and badly; return what the errors said."""
    given = {"user_id": TENANT, "metadata": {"what": METADATA}}
    bad = f"the key {API_KEY} may not embed {CONTENT}".encode()
    await memories.store(CONTENT, id=MEMORY, **given)
    await memories.store_many([{"content": f"{CONTENT} {number}", **given} for number in range(3)])
    await memories.search(CONTENT, user_id=TENANT, expand=1)
    await memories.drain()
    if memories.parts.graph.breaker.state == "closed":
        await drifts.missing(stores, [Key(TENANT, MEMORY)])
    sync = AsyncSyncService(memories)
    await sync.check_consistency("full", user_id=TENANT)
    await sync.repair_inconsistencies("full", user_id=TENANT, dry_run=False)
    said = [
        await _said(memories.update(MEMORY, user_id=TENANT, content=CONTENT, expected_version=1)),
        await _said(memories.update("absent", user_id=TENANT, content=CONTENT)),
    ]
    for reply in (status(401, bad), status(400, bad), reset, reset, reset):
        script.then(reply)
        said.append(await _said(memories.store(CONTENT, id=MEMORY, **given)))
    return said


@pytest.mark.parametrize("graph", ["there", "away"])
async def test_nothing_shows(stores: Stores, seen: Telemetry, graph: str) -> None:
    """With a mask that knows none of them: telemetry does not need one to keep secrets and contents out."""
    stream = io.StringIO()
    handler = log_to(stream, lambda text: text, level=logging.DEBUG)
    truth = f"{stores.postgres}{'&' if '?' in stores.postgres else '?'}sslpassword={PASSWORD}"
    where = stores.neo4j if graph == "there" else _away()
    config = stores.config(vector_url=truth, graph_url=where, write_timeout=2.0, connect_timeout=1.0)
    with openai_server() as script:
        endpoint = (script.url, "model", DIMENSION, SecretStr(API_KEY))
        given: dict[str, Any] = {
            "embedder": OpenAIEmbedder(*endpoint),
            "extractor": OpenAIExtractor(script.url, "model", SecretStr(API_KEY)),
        }
        async with AsyncPersistenceService.connect(config=config, observer=seen.observer, **given) as memories:
            said = await _live(memories, stores, script)
            async with seen.client(memories) as client:
                headers = {"authorization": f"Bearer {API_KEY}", "x-api-key": API_KEY}
                page = (await client.get("/metrics", headers=headers, params={"q": CONTENT, "user_id": TENANT})).text
                await client.get(f"/memories/{MEMORY}", headers=headers, params={"q": CONTENT})
                page += await seen.page("application/openmetrics-text")
    logging.getLogger("diptych").removeHandler(handler)
    spans = "\n".join(span.to_json() for span in seen.spans)
    lines, errors = stream.getvalue(), "\n".join(said)
    for kind, text in {"lines": lines, "metrics": page, "spans": spans, "errors": errors}.items():
        assert text.strip(), kind
        assert [secret for secret in SECRETS if secret in text] == [], kind
    for kind, text in {"metrics": page, "spans": spans}.items():
        assert [name for name in IDS if name in text] == [], kind
    assert all(one in lines for one in IDS), "the ids of what was written are in the log"
