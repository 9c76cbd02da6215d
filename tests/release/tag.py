"""Says whether a tag may be released, by ``make dist-tag TAG=v1.2.3``: it is that of the version and the changelog."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from tests.release.changelog import fault

ROOT = Path(__file__).parents[2]


def refused(tag: str, version: str, changelog: str) -> str | None:
    """Say why a tag may not be released, None where it may."""
    if tag != f"v{version}":
        return f"The tag {tag!r} is not v{version}, which is the version in pyproject.toml."
    return fault(changelog, version, releasing=True)


def main(tag: str) -> None:
    """End with 1, and the reason, where the tag may not be released."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sys.exit(refused(tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1])
