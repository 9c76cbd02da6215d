"""The samples as a picture: one panel a series, a mark where a fault was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, GAP = 900, 90, 90, 34


def draw(samples: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return an SVG of these series over time."""
    last = max((one["t"] for one in samples), default=1.0) or 1.0
    panels = [_panel(samples, name, last, GAP + row * (HEIGHT + GAP)) for row, name in enumerate(names)]
    height = GAP + len(names) * (HEIGHT + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
    return head + 'font-family="sans-serif" font-size="12">\n' + "\n".join(panels) + "\n</svg>\n"


def _panel(samples: Sequence[Mapping[str, Any]], name: str, last: float, top: int) -> str:
    values = [one[name] for one in samples if one.get(name) is not None]
    most = max(values, default=0.0) or 1.0
    marks = "".join(_mark(one, last, top) for one in samples if one.get("faults"))
    frame = f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>'
    said = f'<text x="{LEFT}" y="{top - 6}">{escape(name)}, over {last:.0f} s</text>'
    scale = f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:g}</text>'
    lines = "".join(_line(run, name, last, most, top) for run in _unbroken(samples, name))
    return f"<g>{frame}{marks}{said}{scale}{lines}</g>"


def _unbroken(samples: Sequence[Mapping[str, Any]], name: str) -> list[list[Mapping[str, Any]]]:
    """Return the stretches in which every sample was had: what is not known is a gap, not a line."""
    runs: list[list[Mapping[str, Any]]] = [[]]
    for one in samples:
        if one.get(name) is None:
            runs.append([])
        else:
            runs[-1].append(one)
    return [run for run in runs if run]


def _line(run: Sequence[Mapping[str, Any]], name: str, last: float, most: float, top: int) -> str:
    points = " ".join(
        f"{LEFT + WIDTH * one['t'] / last:.1f},{top + HEIGHT * (1 - one[name] / most):.1f}" for one in run
    )
    return f'<polyline points="{points}" fill="none" stroke="#06c"/>'


def _mark(one: Mapping[str, Any], last: float, top: int) -> str:
    x = LEFT + WIDTH * one["t"] / last
    title = f"<title>{escape(str(one['faults']))}</title>"
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + HEIGHT}" stroke="#f99" opacity="0.5">{title}</line>'
