"""Runs the blocks of one page in order: shells keep their variables and folder, Python keeps its names."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import linecache
import re
import shlex
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.docs.blocks import ROOT, Block
from tests.docs.consoles import assert_shown, commands_of, installable, matches
from tests.docs.languages import LANGUAGES

SECONDS = 60
#: Programs of the page, beside the languages of its data.
PROGRAMS = {"console", "python"}


class Page:
    """A page that is being run, in a folder of its own, with ``places`` for what it names as an example."""

    def __init__(self, folder: Path, environment: dict[str, str], places: dict[str, str]) -> None:
        self.folder, self.environment, self.places = folder, environment, places
        self.printed = ""
        self.module = types.ModuleType("a_page")
        self.stack = ExitStack()
        self.state = folder / ".state"
        self.state.write_text(f"cd {shlex.quote(str(folder))}\n", "utf-8")

    def __enter__(self) -> Self:
        self.runner = self.stack.enter_context(asyncio.Runner())
        sys.modules[self.module.__name__] = self.module
        self.stack.callback(sys.modules.pop, self.module.__name__)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def run(self, block: Block) -> None:
        """Run one block; what fails is an AssertionError, or what the block raised."""
        text = self._placed(block.text)
        if block.said == "prints":
            assert_shown(text, self.printed, block)
        elif block.said.startswith("file "):
            (self.folder / block.said.removeprefix("file ")).write_text(text, "utf-8")
        elif block.said == "background":
            self._in_background(block, *commands_of(text))
        elif block.language == "console":
            self._commands(block, commands_of(text))
        elif block.language == "python":
            self._python(block, text)
        else:
            LANGUAGES[block.language](text, self)

    def _placed(self, text: str) -> str:
        for name, place in self.places.items():
            text = text.replace(name, place)
        return text

    def _commands(self, block: Block, commands: list[tuple[str, str]]) -> None:
        self.printed = ""
        for command, shown in commands:
            printed = self.succeed(command)
            if shown:
                assert_shown(shown, printed, block)
            self.printed += printed

    def succeed(self, command: str) -> str:
        """Run a command that has to end well; 1 of `diptych` only says that something needs a look."""
        code, printed = self._ran(command)
        assert code == 0 or (code == 1 and "diptych" in command), f"`{command}` ended with {code}:\n{printed}"
        assert "Traceback" not in printed, f"`{command}`:\n{printed}"
        return printed

    def _ran(self, command: str) -> tuple[int, str]:
        if pip := re.match(r"pip install (.*)", command):
            return int(not installable(pip[1])), ""
        if make := re.match(r"make (.*)", command):
            command = f"make -n -C {shlex.quote(str(ROOT))} {make[1]}"
        keep = f"{{ export -p; echo cd \"'$PWD'\"; }} > {shlex.quote(str(self.state))}"
        script = f". {shlex.quote(str(self.state))}\ntrap {shlex.quote(keep)} EXIT\nset -o pipefail\n{command}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            timeout=SECONDS,
        )
        return done.returncode, done.stdout.decode()

    def _in_background(self, block: Block, first: tuple[str, str], *rest: tuple[str, str]) -> None:
        command, shown = first
        program = Path(sys.executable).parent / command  # the installed one, which is told signals
        started = subprocess.Popen(
            ["bash", "-c", f". {shlex.quote(str(self.state))}\nexec {program}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )
        self.stack.enter_context(_ending(started, block))
        _wait_for(shown, started, block)
        self._commands(block, list(rest))

    def _python(self, block: Block, text: str) -> None:
        name = f"<{block}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        code = compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            waiting = eval(code, self.module.__dict__)  # noqa: S307 - the pages are ours
            if waiting is not None:
                self.runner.run(waiting)
        self.printed = out.getvalue()


def _wait_for(shown: str, started: subprocess.Popen[bytes], block: Block) -> None:
    """Read until the line has come that is shown last, or any line where none is shown."""
    wanted = shown.strip().splitlines()[-1] if shown.strip() else "…"
    assert started.stdout is not None
    said = ""
    for line in iter(started.stdout.readline, b""):
        said += line.decode()
        if matches(wanted, line.decode()):
            return
    pytest.fail(f"{block} ended:\n{said}")


@contextmanager
def _ending(started: subprocess.Popen[bytes], block: Block) -> Iterator[None]:
    """End the process after the page as an operator would."""
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        said = started.communicate(timeout=SECONDS)[0]
    assert started.returncode == 0, f"{block} ended with {started.returncode}:\n{said.decode()}"


def known(language: str) -> bool:
    """Say whether blocks of this language are run or looked at."""
    return language in PROGRAMS | set(LANGUAGES)
