"""structlog over the standard library's logging, so that an app's own logging configuration decides what is shown."""

from __future__ import annotations

import logging
from typing import cast

import structlog


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger under ``diptych``: a sentence, an ``action`` and ids; never contents or secrets."""
    logger = structlog.wrap_logger(
        logging.getLogger(f"diptych.{name}"),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return cast("structlog.stdlib.BoundLogger", logger)
