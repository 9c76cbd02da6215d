"""Settings given as the query of the vector store's URL: ``qdrant://host:6333/name?on_disk=true``.

Those of a server's collections count when they are made; what is there is left as it is.
"""

from __future__ import annotations

from typing import TypeVar
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


class FolderOptions(BaseModel):
    """How the embedded engine keeps its folder: ``qdrant:///folder?flush_every=5``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flush_every: float = Field(
        60.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds after which what was written is on the disk at last; 0: before it is acknowledged.",
    )


Given = TypeVar("Given", bound=BaseModel)


def parse(query: str, options: type[Given]) -> Given:
    """Return the options of a URL's query. Raises ConfigurationError."""
    try:
        return options.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(step) for step in fault["loc"])
        raise ConfigurationError(
            f"The vector store's URL has an option {name!r} that is not allowed.",
            hint=f"the options are {', '.join(options.model_fields)}",
        ) from None  # its text repeats the value
