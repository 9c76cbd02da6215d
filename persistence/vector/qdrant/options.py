"""Settings of our collections, given as the query of the vector store's URL: ``qdrant://host:6333/name?on_disk=true``.

They count when the collections are made; what is there is left as it is.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from persistence.errors import ConfigurationError


class Options(BaseModel):
    """How collections are made; what is not given is the server's own default, where no other is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard_number: int | None = Field(None, ge=1, description="Shards of a collection.")
    replication_factor: int | None = Field(None, ge=1, description="Copies of each shard.")
    write_consistency_factor: int | None = Field(
        None, ge=1, description="Copies that must have a write before it is acknowledged: more than half, to lose none."
    )
    on_disk: bool | None = Field(None, description="Whether the vectors are kept on disk rather than in memory.")
    quantized: bool = Field(False, description="Whether searches use vectors of a byte per dimension.")
    hnsw_m: int = Field(16, ge=4, le=256, description="Edges per node of each tenant's vector index.")
    hnsw_ef_construct: int = Field(100, ge=4, description="Candidates looked at when that index is built.")


def parse(query: str) -> Options:
    """Return the options of a URL's query. Raises ConfigurationError."""
    try:
        return Options.model_validate(dict(parse_qsl(query)))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(step) for step in fault["loc"])
        raise ConfigurationError(
            f"The vector store's URL has an option {name!r} that is not allowed.",
            hint=f"the options are {', '.join(Options.model_fields)}",
        ) from error
