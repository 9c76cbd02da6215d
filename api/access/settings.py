"""Settings of who may do what: the file of the API keys, and what a token must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from persistence.errors import ConfigurationError
from persistence.secretfiles import FromEnvironment
from persistence.settings import Seconds

ENVIRONMENT = SettingsConfigDict(env_prefix="DIPTYCH_API_", extra="forbid", frozen=True)

M = TypeVar("M", bound=BaseModel)


class AccessConfig(BaseModel):
    """With none of the ``jwt_`` settings, tokens are not accepted, and API keys alone let in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys_file: Path | None = Field(None, description="The file of the API keys. Unset: api-keys.json in DIPTYCH_HOME.")
    jwt_secret: SecretStr | None = Field(
        None, description="The secret that tokens are signed with (HS256), 32 bytes at least."
    )
    jwt_jwks_url: str | None = Field(
        None, description="Where the public keys of tokens are (JWKS; RS256, ES256, EdDSA): an https:// URL."
    )
    jwt_audience: str | None = Field(None, min_length=1, description="What a token's `aud` must name. Unset: anything.")
    jwt_issuer: str | None = Field(None, min_length=1, description="What a token's `iss` must be. Unset: anything.")
    jwt_jwks_lifetime: Seconds = Field(300.0, description="Seconds after which the public keys are fetched again.")
    jwt_jwks_cooldown: Seconds = Field(
        30.0, description="Seconds between two fetches at least, also for a key that is not known."
    )
    jwt_jwks_timeout: Seconds = Field(5.0, description="Seconds that a fetch of the public keys may take.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Refuse two sources of keys: a token would choose between them."""
        if self.jwt_secret is not None and self.jwt_jwks_url is not None:
            raise ValueError("only one of jwt_secret and jwt_jwks_url may be set")
        return self

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment under what is given; None there counts as not given. Raises ConfigurationError."""
        return loaded(cls, _Environment, given)


class _Environment(AccessConfig, FromEnvironment):
    model_config = ENVIRONMENT


def loaded(made: type[M], environment: type[BaseSettings], given: dict[str, Any]) -> M:
    """Return settings as the environment and what is given above it have them. Raises ConfigurationError."""
    try:
        found = environment(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(step) for step in fault["loc"]) or "of the API"
        raise ConfigurationError(f"The setting {name} is wrong: {fault['msg']}.") from None
    return made.model_construct(**found.model_dump())
