"""A copy of this tree in a temporary folder, in which guards are taken out and put back."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextmanager
def copied(root: Path = ROOT) -> Iterator[Path]:
    """Copy what git knows of the tree, and what it would take in, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="diptych-mutants-") as name:
        copy = Path(name).resolve()
        for file in _files(root):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, copy / file)
        yield copy


def _files(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return [file for file in listed.split("\0") if file and (root / file).is_file()]


@contextmanager
def changed(copy: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Let these files have these texts in the block."""
    former = {file: (copy / file).read_bytes() for file in texts}
    try:
        for file, text in texts.items():
            _put(copy / file, text.encode())
        yield
    finally:
        for file, content in former.items():
            _put(copy / file, content)


def _put(path: Path, content: bytes) -> None:
    """Write a file, and forget what was compiled of it: a change within a second, of the same size, goes unnoticed."""
    path.write_bytes(content)
    if path.suffix == ".py":
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
