"""Every setting, with its unit, its bounds and its default. No environment is read before ``load`` is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from persistence.errors import ConfigurationError
from persistence.secretfiles import FromEnvironment

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class PersistenceConfig(BaseModel):
    """Settings of one service; each is also an environment variable, ``DIPTYCH_`` and its name.

    Made by hand, it reads nothing but what it is given; ``PersistenceConfig.load()`` reads the environment, and for a
    secret also the file that the variable's name with ``_FILE`` names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vector_url: SecretStr | None = Field(
        None,
        description="The truth: postgresql://…, qdrant://…, sqlite:///…, embedded://, file:///…, memory://, or auto.",
    )
    graph_url: SecretStr | None = Field(
        None,
        description="Where the graph is: neo4j://…, postgresql://…, embedded://, file:///…, memory://, none://, auto.",
    )
    vector_password: SecretStr | None = Field(
        None, description="The password of truth, or Qdrant's API key, where its URL names a server and has none."
    )
    graph_password: SecretStr | None = Field(
        None, description="The password of the graph, where its URL names a server and has none."
    )
    home: Path = Field(
        Path("~/.local/share/diptych"), description="The folder of local servers and the embedded default."
    )
    schema_name: str = Field(
        "diptych", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="The Postgres schema that is ours."
    )
    auto_upgrade: bool = Field(True, description="Whether the first connect may make or upgrade the schema.")

    enable_graph_store: bool = Field(True, description="False: as if the graph were none://.")
    enable_auto_sync: bool = Field(False, description="Whether the service checks the stores on a schedule.")
    graph_required: bool = Field(False, description="Refuse to open, or to write, while the graph cannot be reached.")
    rollback_on_partial_failure: bool = Field(False, description="Undo a write in truth when the graph fails.")

    retry_attempts: int = Field(3, ge=1, le=100, description="Attempts of one store operation, the first included.")
    retry_delay: float = Field(
        0.05, ge=0, le=60, description="Seconds before the second attempt; doubles, with jitter."
    )
    write_timeout: Seconds = Field(5.0, description="Seconds that one call may take.")
    batch_timeout: Seconds = Field(60.0, description="Seconds that one batch of a bulk call may take.")
    batch_size: int = Field(1_000, ge=1, le=10_000, description="Memories in one transaction of a bulk call.")
    max_content_bytes: int = Field(1_048_576, ge=1, description="The longest content, in UTF-8 bytes.")

    settle_batch: int = Field(256, ge=1, le=10_000, description="Settled entries removed together.")
    settle_delay: float = Field(0.05, ge=0, le=10, description="Seconds that a settled entry waits for others at most.")

    enable_relay: bool = Field(True, description="Whether this process works the outbox off in the background.")
    relay_batch: int = Field(500, ge=1, le=10_000, description="Entries that the relay claims at once.")
    relay_interval: Seconds = Field(1.0, description="Seconds between looks at an outbox that was empty.")
    relay_attempts: int = Field(
        10, ge=1, le=1_000, description="Attempts after which an entry that fails alone is dead."
    )
    relay_backoff: Seconds = Field(0.5, description="Seconds before an entry's second attempt; doubles, with jitter.")
    relay_backoff_max: Seconds = Field(300.0, description="The longest back-off of an entry, in seconds.")
    breaker_failures: int = Field(1, ge=1, le=100, description="Outages in a row after which the graph is left alone.")
    breaker_probe: Seconds = Field(1.0, description="Seconds between probes of a graph that is left alone.")
    tombstone_age: float = Field(3_600.0, ge=60, le=31_536_000, description="Seconds for which a tombstone is kept.")

    run_lease: Seconds = Field(
        15.0, description="Seconds after which a check, repair or rebuild whose process died can be taken over."
    )
    sync_timeout: Seconds = Field(120.0, description="Seconds that one call of a check, repair or rebuild may take.")
    run_retention: float = Field(
        2_592_000.0,
        ge=3_600,
        le=315_360_000,
        description="Seconds for which ended runs and resolved inconsistencies are kept.",
    )
    sync_batch: int = Field(1_000, ge=1, le=10_000, description="Memories that a rebuild writes in one transaction.")

    sync_quick_every: str = Field(
        "15m",
        description="When a quick check is due: an interval (15m, 1h30m, 7d), a cron expression, or empty: never.",
    )
    sync_structure_every: str = Field("6h", description="When a structure check is due; as above.")
    sync_full_every: str = Field("0 3 * * *", description="When a full check is due; as above.")
    sync_jitter: float = Field(0.1, ge=0, le=1, description="The share of an interval that it is longer at most.")
    sync_timezone: str = Field("UTC", description="The time zone of cron expressions, such as Europe/Berlin.")
    sync_policy: Literal["none", "report_only", "repair"] = Field(
        "report_only", description="What follows from a scheduled check: nothing, alerts, or alerts and a repair."
    )
    sync_remind_every: Seconds = Field(86_400.0, description="Seconds between reminders of drift that stays.")
    sync_incomplete_after: int = Field(3, ge=1, le=100, description="Incomplete checks in a row that make an alert.")
    sync_webhook_url: SecretStr | None = Field(None, description="Where alerts are POSTed as JSON.")

    file_fsync: Literal["always", "interval", "never"] = Field(
        "always", description="When file stores wait for the disk: at each write, now and then, or never."
    )
    file_fsync_every: Seconds = Field(1.0, description="Seconds between waits for the disk, where it is now and then.")
    file_persist_every: Seconds = Field(300.0, description="Seconds after which a file store writes a new snapshot.")
    file_backups: int = Field(3, ge=0, le=1_000, description="Former snapshots that a file store keeps.")

    index_memory_mb: int = Field(
        4_096, ge=64, le=1_048_576, description="The most memory, in MB, that building the vector index may take."
    )
    sqlite_synchronous: Literal["full", "normal"] = Field(
        "full", description="What a write acknowledged by a SQLite file survives: the machine, or only the process."
    )
    sqlite_cache_mb: int = Field(
        256, ge=1, le=1_048_576, description="The most memory, in MB, that searching a SQLite file may keep."
    )
    pool_size: int = Field(8, ge=1, le=1_000, description="Connections to each store at most.")
    connect_timeout: Seconds = Field(5.0, description="Seconds that a connection may take to be made.")

    embedding_url: str | None = Field(None, description="Base URL of an OpenAI-compatible embeddings endpoint.")
    embedding_model: str | None = Field(None, description="The endpoint's embedding model.")
    embedding_dimension: int = Field(384, ge=1, le=16_000, description="Dimensions of an embedding.")
    embedding_api_key: SecretStr | None = Field(None, description="The key for the embeddings endpoint.")
    embedding_cache_url: SecretStr | None = Field(
        None,
        description="A Redis in which the embeddings of search texts are kept for all processes:"
        " redis://:password@host:6379/0, or rediss://….",
    )
    embedding_cache_time: float = Field(
        3_600.0, ge=1, le=2_592_000, description="Seconds for which the embedding of a search text is kept there."
    )
    extraction_url: str | None = Field(None, description="Base URL of an OpenAI-compatible chat endpoint.")
    extraction_model: str | None = Field(None, description="The endpoint's chat model.")
    extraction_api_key: SecretStr | None = Field(None, description="The key for the chat endpoint.")

    @classmethod
    def load(cls, **given: Any) -> PersistenceConfig:
        """Read the environment under what is given; None there counts as not given. Raises ConfigurationError."""
        try:
            found = _Environment(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(step) for step in fault["loc"])
            raise ConfigurationError(f"The setting {name} is wrong: {fault['msg']}.") from None
        return cls.model_construct(**found.model_dump())


class _Environment(PersistenceConfig, FromEnvironment):
    model_config = SettingsConfigDict(env_prefix="DIPTYCH_", extra="forbid", frozen=True)
