"""Where a look at PostgreSQL's encryption goes: where its client goes, whatever the URL says of ports."""

from __future__ import annotations

import pytest

from persistence.errors import PersistenceError
from persistence.vector.pgvector import PgVectorStore

ENCRYPTED = "sslmode=require&connect_timeout=2"


@pytest.mark.parametrize(
    "where",
    [
        "127.0.0.1:abc/db?",
        "127.0.0.1:99999/db?",
        "127.0.0.1:-1/db?",
        "/db?host=127.0.0.1,127.0.0.1&port=1,&",
        "/db?host=127.0.0.1&port=1,2,3&",
        "/db?host=,&port=,&",
    ],
)
async def test_ports(where: str) -> None:
    """A port that is none, or left out, ends in one of our sentences."""
    with pytest.raises(PersistenceError) as caught:
        await PgVectorStore(f"postgresql://u@{where}{ENCRYPTED}", schema="ours").open(model="test", dimension=8)
    assert caught.value.message
