"""Settings of the HTTP server; each is also an environment variable, ``DIPTYCH_API_`` and its name."""

from __future__ import annotations

from typing import Annotated, Any, Self

from limits import parse
from pydantic import ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from api.access.settings import ENVIRONMENT, AccessConfig, loaded
from persistence.secretfiles import FromEnvironment

#: Each process counts requests for itself.
MEMORY = "memory://"
_STORAGES = ("redis://", "rediss://")


class ApiConfig(AccessConfig):
    """Made by hand, it reads nothing but what it is given; ``ApiConfig.load()`` reads the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="The address that the server listens on.")
    port: int = Field(8765, ge=0, le=65_535, description="Its port; 0: any that is free.")
    root_path: str = Field(
        "", pattern=r"^(/[^/]+)*$", description="The path under which a proxy shows the server, such as /diptych."
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="Addresses or networks whose X-Forwarded-… headers are believed, separated by commas.",
    )
    read_only: bool = Field(False, description="Refuse whatever changes anything.")
    max_body_bytes: int = Field(8_388_608, ge=1_024, description="The longest body of a request, in bytes.")
    request_timeout: float = Field(
        30.0, gt=0, le=3_600, description="Seconds that one request may take until its answer begins."
    )
    rate_limit: str = Field(
        "6000/minute", description="How many requests one key or token may send, such as 100/second. Empty: any number."
    )
    rate_limit_storage: SecretStr | None = Field(
        None,
        description="Where requests are counted: memory:// (each process for itself), or redis://:password@host:6379/0"
        " (all that share it together).",
    )
    names: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names under which the server is reached beside localhost, each with its port unless that is the"
        " scheme's own, separated by commas. MCP is spoken under these names alone.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the API, separated by commas. Empty: none."
    )
    session_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="The secret that ties the dashboard's forms to whoever they were shown to, 32 characters at least."
        " Servers behind one address share one; without it each draws its own, and no form outlives it.",
    )
    drain_delay: float = Field(
        0.5, ge=0, le=300, description="Seconds for which the server, told to stop, still takes requests."
    )
    drain_timeout: float = Field(5.0, gt=0, le=300, description="Seconds that requests then have to come to their end.")

    @field_validator("cors_origins", "names", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("cors_origins")
    @classmethod
    def _no_wildcard(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what is no origin as browsers write it, the wildcard above all: it would never match, or always."""
        for origin in origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") > len("//"):
                raise ValueError("an origin is written as https://app.example.org, without a path; * is not allowed")
        return origins

    @field_validator("rate_limit")
    @classmethod
    def _is_limit(cls, text: str) -> str:
        if text.strip():
            try:
                parse(text)
            except ValueError:
                raise ValueError("a limit is written as 100/second or 6000/minute") from None
        return text.strip()

    @field_validator("rate_limit_storage")
    @classmethod
    def _is_storage(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not (text := url.get_secret_value()) == MEMORY and not text.startswith(_STORAGES):
            raise ValueError("it begins with memory://, redis:// or rediss://")
        return url

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment under what is given; None there counts as not given. Raises ConfigurationError."""
        return loaded(cls, _Environment, given)


class _Environment(ApiConfig, FromEnvironment):
    model_config = ENVIRONMENT
