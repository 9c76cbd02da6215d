"""What all models share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from persistence.records import check_fields
from persistence.text import Name

#: Items on a page, at most.
MAX_PAGE = 500


class Asked(BaseModel):
    """Part of a request: unknown fields are refused, and every field at fault is named."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    _few = model_validator(mode="before")(check_fields)


class Told(BaseModel):
    """Part of an answer: exactly these fields, so that an answer that grows without its model is a defect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Json = dict[str, Any]
#: A time in RFC 3339, in UTC.
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]

Tenant = Annotated[
    Name | None,
    Field(description="The tenant. Whoever may act for one tenant only may leave it out."),
]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE, description="Items on the page, at most.")]
Cursor = Annotated[
    str | None, Field(max_length=4_096, description="`next` of the page before; without it, the first page.")
]
