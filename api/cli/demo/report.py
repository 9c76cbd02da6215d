"""The demo's steps as they are told: numbered, each with what it shows and the proof that it did."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from api.cli._output import Output, one_line

WIDTH = 100


@dataclass(slots=True)
class Step:
    """One step. ``checks``: what it was to show, and whether it did; ``facts``: what a program may want of it."""

    number: int
    title: str
    output: Output
    checks: list[tuple[str, bool]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    duration_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything was as it should be."""
        return all(passed for _, passed in self.checks)

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line, indented; nothing where stdout carries JSON."""
        if not self.output.as_json:
            self.output.line(f"   {one_line(text, WIDTH)}" if text else "", style)

    def explain(self, text: str) -> None:
        """Print a sentence or two, wrapped."""
        for line in textwrap.wrap(text, WIDTH):
            self.say(line)

    def check(self, what: str, *, passed: bool) -> None:
        """Note and print whether something was as it should be."""
        self.checks.append((what, passed))
        if not self.output.as_json:
            mark = ("✓ ", "green") if passed else ("✗ ", "bold red")
            self.output.line(Text.assemble("   ", mark, one_line(what, WIDTH)))

    def offer(self, *commands: str) -> None:
        """Print what does the same by hand, whole: it is there to be copied."""
        if not self.output.as_json:
            for command in commands:
                self.output.line(f"   {one_line(command)}", "cyan")

    def as_json(self) -> dict[str, Any]:
        """Return the step for a program."""
        return {
            "step": self.number,
            "title": self.title,
            "ok": self.ok,
            "checks": [{"what": what, "passed": passed} for what, passed in self.checks],
            "facts": self.facts,
            "duration_ms": round(self.duration_ms, 1),
        }


@dataclass(slots=True)
class Told:
    """All steps so far."""

    output: Output
    steps: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    @property
    def ok(self) -> bool:
        """Whether every step gave what it should."""
        return all(step.ok for step in self.steps)

    def begin(self, title: str, why: str) -> Step:
        """Begin the next step: its title, and a sentence on why it matters."""
        self.end()
        step = Step(len(self.steps) + 1, title, self.output)
        self.steps.append(step)
        if not self.output.as_json:
            self.output.line()
            self.output.line(f"{step.number}. {title}", "bold")
        step.explain(why)
        return step

    def end(self) -> None:
        """End the step that is under way."""
        if self.steps and not self.steps[-1].duration_ms:
            self.steps[-1].duration_ms = (time.perf_counter() - self.steps[-1].started) * 1000

    def finish(self) -> None:
        """Say how it went."""
        self.end()
        seconds = time.perf_counter() - self.started
        if self.output.as_json:
            steps = [step.as_json() for step in self.steps]
            self.output.data({"ok": self.ok, "steps": steps, "duration_ms": round(seconds * 1000, 1)})
            return
        self.output.line()
        checks = [passed for step in self.steps for _, passed in step.checks]
        verdict = "all as they should be" if self.ok else f"{checks.count(False)} not as they should be"
        self.output.line(
            f"{len(checks)} checks in {seconds:.1f} s, {verdict}.", "bold green" if self.ok else "bold red"
        )
