"""Every page in light, in dark and on a phone: nothing is wider than the window, and a picture of each is kept."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, ViewportSize

from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, Open, Site
from tests.faults import drifts
from tests.faults.stores import ALICE, BOB, vector

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_page_fits_every_window(opening: Open) -> None:
    """No page scrolls sideways in any look, each has one main heading, and its picture is kept."""
    ARTIFACTS.mkdir(exist_ok=True)
    async with opening() as site:
        pages = await _furnish(site)
        page = await site.page()
        for name, path in pages.items():
            await page.goto(f"/dashboard{path}")
            assert await page.locator("main h1").count() == 1
            await page.emulate_media(color_scheme="light")
            await _picture(page, name, "light", DESKTOP)
            await page.emulate_media(color_scheme="dark")
            await _picture(page, name, "dark", DESKTOP)
            await page.emulate_media(color_scheme="light")
            await _picture(page, name, "phone", PHONE)


async def _picture(page: Page, name: str, look: str, window: ViewportSize) -> None:
    await page.set_viewport_size(window)
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name} is {wide} pixels too wide in {look}"
    await page.screenshot(path=ARTIFACTS / f"{name}-{look}.png", full_page=True)


async def _furnish(site: Site) -> dict[str, str]:
    """Put something on every page; return their paths."""
    keys = await drifts.fill(site.memories, [ALICE, BOB], 40)
    await site.host.sync.check_consistency("full")
    await drifts.missing(site.stores, keys[:3])
    await drifts.stale(site.stores, keys[3:5])
    await site.host.sync.check_consistency("quick")
    await _store_ada(site)
    await site.stores.cypher("MATCH (:DiptychEntity {key: 'ada lovelace'})-[r:LIVED_IN]->() DELETE r")
    await site.host.sync.check_consistency("structure", user_id=ALICE)
    plan = await site.host.sync.repair_inconsistencies("structure", dry_run=True)
    await site.stores.rows(
        "INSERT INTO outbox (user_id, id, entry_id, version, attempts, created_at, due_at, dead_at, reason) "
        "SELECT user_id, id, gen_random_uuid(), version, 12, clock_timestamp() - interval '40 minutes', "
        "clock_timestamp(), CASE id WHEN 'm0010' THEN clock_timestamp() END, 'The graph store refused the operation.' "
        "FROM memories WHERE id IN ('m0010', 'm0012') AND user_id = 'alice'"
    )
    return {
        "overview": "",
        "memory": "/memory?user_id=alice&id=letter",
        "memories": "/memories?user_id=alice",
        "search": "/memories?user_id=alice&q=letter",
        "tenants": "/memories",
        "inconsistencies": "/inconsistencies",
        "outbox": "/outbox",
        "runs": "/runs",
        "plan": f"/runs/{plan.check.run_id}",
        "confirm": "/confirm/check",
    }


async def _store_ada(site: Site) -> None:
    names = {"Ada Lovelace": "Person", "Charles Babbage": "Person", "Analytical Engine": "Machine", "London": "Place"}
    stated = [
        ("Ada Lovelace", "WROTE_ABOUT", "Analytical Engine"),
        ("Charles Babbage", "INVENTED", "Analytical Engine"),
        ("Ada Lovelace", "LIVED_IN", "London"),
    ]
    shared = [{"name": "Place 1", "type": "Place"}, {"name": "Person 7", "type": "Person"}]
    await site.memories.store(
        "Ada Lovelace lived in London and wrote about the Analytical Engine that Charles Babbage invented.",
        user_id=ALICE,
        id="letter",
        entities=[*({"name": name, "type": kind} for name, kind in names.items()), *shared],
        relationships=[{"source": source, "type": kind, "target": target} for source, kind, target in stated],
        metadata={"source": "letters", "year": 1843},
        embedding=vector(3),
    )
    await site.memories.drain()
