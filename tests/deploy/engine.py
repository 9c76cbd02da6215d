"""Stands in for `docker compose run` and `exec` where there is no engine: the service's words, on the stage."""

from __future__ import annotations

import os
import sys

FLAGS = {"--rm", "--no-deps", "-T"}


def main(words: list[str]) -> None:
    compose, verb, *rest = words
    assert (compose, verb in {"run", "exec"}) == ("compose", True), words
    while rest[0] in FLAGS:
        rest.pop(0)
    entry: list[str] = []
    if rest[0] == "--entrypoint":  # in a root such as the service's, without the words that its image begins with
        verb, entry, rest = "exec", [rest[1]], rest[2:]
    program = f"docker-{verb}-{rest.pop(0)}"
    os.execvp(program, [program, *entry, *rest])  # noqa: S606  # found on the path that the test has given


if __name__ == "__main__":
    main(sys.argv[1:])
