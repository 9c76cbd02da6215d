"""Writes every page that is made from the code anew."""

from __future__ import annotations

from tests.docs.blocks import ROOT
from tests.docs.made import PAGES, renewed

for page in PAGES:
    (ROOT / page).write_text(renewed(page), "utf-8")
