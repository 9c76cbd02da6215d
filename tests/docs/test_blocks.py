"""Every fenced code block of the README and of docs/ runs, in the order of its page."""

from __future__ import annotations

import pytest

from tests.docs.blocks import blocks, pages
from tests.docs.running import known

#: Made from the commands; `tests/acceptance/test_cli_reference.py` holds its usages to them.
GENERATED = "docs/reference/cli.md"
#: Pages whose commands are run on what they deploy: by `tests/deploy/test_stack.py`, `tests/kubernetes/test_how_to.py`.
ELSEWHERE = {"docs/how-to/deploy.md", "docs/how-to/kubernetes.md"}
WITH_BLOCKS = [page for page in pages() if page not in {GENERATED, *ELSEWHERE} and blocks(page)]
#: Pages of many commands, which run with the tests that take minutes.
LONG = {"docs/how-to/move-house.md", "docs/how-to/restore-one-store.md"}
#: How many blocks of a page are not run. Each says why, in the comment before it.
NOT_RUN = {
    "docs/how-to/agent-app.md": 2,
    "docs/how-to/back-up.md": 1,
    "docs/how-to/observe.md": 1,
    "docs/how-to/serve.md": 1,
    "docs/tutorial.md": 1,
}


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.long) if page in LONG else page for page in WITH_BLOCKS]
)
def test_the_blocks_of_a_page_run(page, running):
    """Commands end well and print what is shown, Python runs, and data are what their language says."""
    for block in blocks(page):
        if block.why_not is None:
            running.run(block)


def test_what_is_not_run_is_little_and_says_why():
    """The blocks that cannot be run are these."""
    marked = {page: sum(block.why_not is not None for block in blocks(page)) for page in WITH_BLOCKS}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN


def test_every_block_names_its_language():
    """A block of a language that nobody looks at would not be tested, and nobody would know."""
    tried = [block for page in WITH_BLOCKS for block in blocks(page) if block.why_not is None]
    assert [str(block) for block in tried if not known(block.language)] == []
