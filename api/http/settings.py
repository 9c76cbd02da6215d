"""Settings of the HTTP server; each is also an environment variable, ``DIPTYCH_API_`` and its name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ApiConfig(BaseModel):
    """Made by hand, it reads nothing but what it is given; ``ApiConfig.load()`` reads the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="The address that the server listens on.")
    port: int = Field(8765, ge=0, le=65_535, description="Its port; 0: any that is free.")
    read_only: bool = Field(False, description="Refuse whatever changes anything.")
    max_body_bytes: int = Field(8_388_608, ge=1_024, description="The longest body of a request, in bytes.")
    request_timeout: float = Field(30.0, gt=0, le=3_600, description="Seconds that one request may take.")
