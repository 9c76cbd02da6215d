"""How Qdrant is named: our URLs, and the address that Qdrant's own programs are given."""

from __future__ import annotations

import pytest

from persistence import urls
from persistence.settings import PersistenceConfig


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://host:6333", "qdrant://host:6333"),
        ("https://host", "qdrants://host"),
        ("host:6333", "qdrant://host:6333"),
        ("qdrants://host:6333/name", "qdrants://host:6333/name"),
    ],
)
def test_the_address_in_the_environment(given: str, meant: str) -> None:
    """QDRANT_URL may be what it is for Qdrant's own programs."""
    source = urls.vector_source(PersistenceConfig(), {"QDRANT_URL": given})
    assert (meant, "QDRANT_URL") == (source.url.get_secret_value(), source.origin)


def test_a_key_is_masked() -> None:
    """The API key in a URL is not printed."""
    assert urls.mask("qdrants://:secret@host:6333/name") == "qdrants://:***@host:6333/name"
