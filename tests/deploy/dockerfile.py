"""A Dockerfile's steps in a plain folder: each absolute path that a step makes lies below that folder instead."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: What stages make; the base image, of which the steps want a Python, is this machine.
_MADE = re.compile(r"(?<![\w.])/(?:opt/diptych|build|backups|var/lib/diptych|source)\b")


@dataclass(slots=True)
class Stage:
    """One stage: what it is based on, and its steps as they stand."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, step: str) -> list[str]:
        """Return what is said by every step of a kind."""
        return [text for kind, text in self.steps if kind == step]


def stages(text: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile, by their names."""
    found: dict[str, Stage] = {}
    for kind, said in _instructions(text):
        if kind == "FROM":
            base, _, name = said.partition(" AS ")
            current = found[name] = Stage(name, base)
        else:
            current.steps.append((kind, said))
    return found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    for line in filter(str.strip, lines.splitlines()):
        kind, _, said = line.partition(" ")
        yield kind, said.strip()


def context(root: Path) -> Iterator[Path]:
    """Yield the files that the engine is sent, by .dockerignore."""
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    tops = {rule[1:].split("/")[0] for rule in rules if rule.startswith("!")}
    for top in sorted(tops):
        for path in [root / top] if (root / top).is_file() else sorted((root / top).rglob("*")):
            if path.is_file() and _sent(path.relative_to(root).as_posix(), rules):
                yield path


def _sent(path: str, rules: list[str]) -> bool:
    sent = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        parts = [path, *(parent.as_posix() for parent in Path(path).parents)]
        if any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in [*parts, *Path(path).parts]):
            sent = rule.startswith("!")
    return sent


class Folder:
    """Where a stage's steps run. ``sent``: the folder of the context."""

    def __init__(self, folder: Path, sent: Path) -> None:
        self.folder = folder
        self.sent = sent
        self.workdir = folder

    def at(self, text: str) -> str:
        """Return a text with its paths below the folder."""
        return _MADE.sub(lambda found: f"{self.folder}{found[0]}", text)

    def run(self, stage: Stage) -> None:
        """Run the steps of a stage."""
        for kind, said in stage.steps:
            if kind == "WORKDIR":
                self.workdir = Path(self.at(said))
                self.workdir.mkdir(parents=True, exist_ok=True)
            elif kind == "COPY":
                self._copy(said.split())
            elif kind == "RUN":
                self._run(said)

    def _copy(self, words: list[str]) -> None:
        sources = [word for word in words[:-1] if not word.startswith("--")]
        target = self.workdir / words[-1]
        for source in sources:
            here = self.sent / source
            goal = target / here.name if words[-1].endswith("/") else target
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(here, goal) if here.is_dir() else shutil.copy(here, goal)

    def _run(self, said: str) -> None:
        path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(self.folder), "PIP_CACHE_DIR": str(self.folder / "cache")}
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTPS_", "https_"))
        }
        ran = subprocess.run(
            ["sh", "-c", self.at(said)],
            cwd=self.workdir,
            env={**kept, **environment},
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{said}\n{ran.stdout}{ran.stderr}"


def words(said: str) -> list[str]:
    """Return the words of a step in its form of a JSON list."""
    return json.loads(said[said.index("[") :])
