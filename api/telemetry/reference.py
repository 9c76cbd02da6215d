"""The reference of all metrics. ``python -m api.telemetry.reference docs/reference/metrics.md`` writes it anew.

What stands in that file before ``MARKER`` stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from api.telemetry.metrics import METRICS, Metric

MARKER = "<!-- from here on made by `python -m api.telemetry.reference` -->\n"


def reference() -> str:
    """Return the table of all metrics, in Markdown."""
    return "\n".join((*_rows(), ""))


def _rows() -> Iterator[str]:
    yield "| metric | type | labels | what it says |"
    yield "| --- | --- | --- | --- |"
    for metric in METRICS:
        yield f"| `{_name(metric)}` | {metric.type} | {_labels(metric)} | {metric.help} |"


def _name(metric: Metric) -> str:
    """Return the name as queries write it; of a histogram the one without ``_bucket``, ``_count`` and ``_sum``."""
    return metric.exposed[0] if len(metric.exposed) == 1 else metric.name


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels) or "-"


def renewed(page: str) -> str:
    """Return a page with what stands behind the marker made anew."""
    return page.partition(MARKER)[0] + MARKER + "\n" + reference()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
