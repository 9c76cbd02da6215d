"""The site: built without a warning, whole, and without anything from another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages

#: Attributes by which a page has a browser load something; a link (`a`) is followed by people alone.
LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href"), ("form", "action")}
LOCAL = re.compile(r"^(?!//)(?![a-z][a-z0-9+.-]*:)|^data:", re.IGNORECASE)


class Loads(HTMLParser):
    """What a page has a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if (tag, name) in LOADS and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, and give its folder."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [Path(sys.executable).with_name("mkdocs"), "build", "-q", "-d", folder],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_is_in_the_site(site):
    """No page is left out, and the build has no warning: every link and anchor leads somewhere."""
    built = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    wanted = {re.sub(r"README\.md$|\.md$", _built, page.removeprefix("docs/")) for page in pages()[1:]}
    assert wanted <= built


def _built(found: re.Match[str]) -> str:
    return "index.html" if found[0] == "README.md" else ".html"


def test_nothing_is_loaded_from_another_host(site):
    """Whoever reads a page is seen by nobody else: no font, script, style, picture or frame of another host."""
    foreign = {}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        foreign[page.name] = [each for each in loads.found if not LOCAL.match(each)]
    for style in site.rglob("*.css"):
        foreign[style.name] = re.findall(
            r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')]*)", style.read_text("utf-8")
        )
    assert {page: found for page, found in foreign.items() if found} == {}


def test_every_link_of_the_readme_leads_somewhere():
    """The README is no page of the site: its links are files of the repository."""
    text = (ROOT / "README.md").read_text("utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert [link for link in links if LOCAL.match(link) and not (ROOT / link).exists()] == []
