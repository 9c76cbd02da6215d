"""Who looks, and with what: read-only, one tenant, the keyboard alone, no scripts, hostile memories."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from api.access import ADMIN, READ, Principal
from tests.browser.conftest import PHONE, Open
from tests.faults import drifts
from tests.faults.stores import ALICE, BOB, vector

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE = (SCRIPT, "\u202egnp.exe \u2066 turned \u200b", "x" * 250, "👩🏽‍🚀 'quotes\" & {{ 7 * 7 }} %", "a/../b?c=d#e")


async def test_a_read_only_server_offers_nothing_and_refuses(opening: Open) -> None:
    """A read-only server shows everything, offers no action, and refuses the form that somebody sends all the same."""
    async with opening(read_only=True) as site:
        site.watch.expected = ("status of 403",)
        await drifts.fill(site.memories, [ALICE], 3)
        page = await site.page()
        await expect(page.get_by_text("read-only", exact=True)).to_be_visible()
        for path in ("", "/outbox", "/runs", "/inconsistencies"):
            await page.goto(f"/dashboard{path}")
            assert await page.locator("[id^=act-], form[method=post]").count() == 0
        await page.goto("/dashboard/confirm/check")
        await expect(page.get_by_text("Nothing can be changed here")).to_be_visible()
        assert await site.host.sync.list_runs() == []


async def test_one_tenant_sees_itself_alone(opening: Open) -> None:
    """A key of one tenant shows that tenant's figures, runs and memories; the others' are not there for it."""
    keys = {"bobs-key": Principal("bob", frozenset({ADMIN}), BOB), "reader": Principal("reader", frozenset({READ}))}
    async with opening(keys=keys) as site:
        site.watch.expected = ("status of 40",)
        alices = await drifts.fill(site.memories, [ALICE], 5)
        await drifts.fill(site.memories, [BOB], 2)
        await drifts.missing(site.stores, alices[:1])
        report = await site.host.sync.check_consistency()
        page = await site.page("/dashboard/runs", http_credentials={"username": "bob", "password": "bobs-key"})
        await expect(page.get_by_text("Nothing was ever checked")).to_be_visible()
        await page.get_by_role("link", name="Overview").click()
        await expect(page.locator(".leaf .count").first).to_have_text("2")
        await expect(page.locator("#f-open b")).to_have_text("0")
        assert "alice" not in await page.content()
        for path, status in ((f"runs/{report.run_id}", 404), ("memory?user_id=alice&id=m0000", 403)):
            answer = await page.goto(f"/dashboard/{path}")
            assert answer is not None
            assert answer.status == status
        await page.goto("/dashboard")
        await page.get_by_role("link", name="Check…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Check").click()
        await expect(page.locator("#run-sentence")).to_contain_text("In step: 2 memories of bob")
        page = await site.page(http_credentials={"username": "any", "password": "reader"})
        await expect(page.locator("#verdict")).to_have_text("The stores are not in step.")
        assert await page.locator("[id^=act-]").count() == 0


async def test_everything_can_be_done_with_the_keyboard(opening: Open) -> None:
    """A check is begun with Tab, Enter and Escape alone; the dialog takes the focus and gives it back."""
    async with opening() as site:
        await drifts.fill(site.memories, [ALICE], 3)
        page = await site.page()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        check = page.get_by_role("link", name="Check…")
        await expect(check).to_be_focused()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await expect(dialog.locator(":focus")).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(check).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(dialog).to_be_visible()
        for _ in range(3):
            if not await dialog.get_by_role("button", name="Check").evaluate("e => e === document.activeElement"):
                await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#run-sentence")).to_contain_text("In step: 3 memories")


#: Presses of Tab after which an element cannot be reached.
MOST_TABS = 80


async def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to an element by Tab alone, and press a key there."""
    await expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if await target.evaluate("e => e === document.activeElement"):
            break
        await page.keyboard.press("Tab")
    await expect(target).to_be_focused()
    await page.keyboard.press(key)


async def test_drift_is_mended_with_the_keyboard(opening: Open) -> None:
    """A check, the plan of a repair, its confirmation and the retry of a dead entry need no mouse."""
    async with opening() as site:
        keys = await drifts.fill(site.memories, [ALICE], 6)
        await drifts.missing(site.stores, keys[:2])
        page = await site.page()
        dialog, told = page.get_by_role("dialog"), page.locator("#run-sentence")
        await press(page, page.get_by_role("link", name="Check…"))
        await press(page, dialog.get_by_role("button", name="Check"))
        await expect(told).to_contain_text("2 of 6 memories differ")
        await press(page, page.get_by_role("button", name="Plan a repair of what it found"))
        await expect(told).to_contain_text("Planned: 2 of 2 inconsistencies can be mended")
        await press(page, page.get_by_role("link", name="Carry the plan out…"))
        await press(page, dialog.get_by_role("button", name="Repair"))
        await expect(told).to_contain_text("Mended: 2 of 2 inconsistencies")
        await site.stores.assert_in_step()
        await site.stores.list_all()
        await site.stores.rows("UPDATE outbox SET dead_at = clock_timestamp(), reason = 'It was refused.'")
        await press(page, page.get_by_role("navigation").get_by_role("link", name="Outbox"))
        await press(page, page.get_by_role("checkbox", name=f"Choose {keys[0].id}"), "Space")
        await press(page, page.get_by_role("button", name="Retry the chosen…"))
        await press(page, dialog.get_by_role("button", name="Retry"))
        await expect(page.get_by_role("heading", name="1 entry is due again.")).to_be_visible()


async def test_the_essentials_work_without_scripts(opening: Open) -> None:
    """Without scripts a check is a link, a page that asks, and a form; a dead entry is retried the same way."""
    async with opening() as site:
        await drifts.fill(site.memories, [ALICE], 3)
        await site.stores.list_all()
        await site.stores.rows("UPDATE outbox SET dead_at = clock_timestamp(), reason = 'It was refused.'")
        page = await site.page(java_script_enabled=False)
        await page.get_by_role("link", name="Check…").click()
        await page.get_by_role("button", name="Check").click()
        await page.wait_for_url("**/runs/*")
        await page.get_by_role("link", name="Outbox").click()
        await page.get_by_role("checkbox").first.check()
        await page.get_by_role("button", name="Retry the chosen…").click()
        await page.get_by_role("button", name="Retry").click()
        await expect(page.get_by_role("heading", name="1 entry is due again.")).to_be_visible()


async def test_hostile_memories_are_shown_and_do_nothing(opening: Open) -> None:
    """Ids, contents and names that are scripts, turn text around or never end are text, and widen no page."""
    async with opening() as site:
        for text in HOSTILE:
            await site.memories.store(
                f"{text} {'y' * 3_000}",
                user_id=HOSTILE[0][:200],
                id=text,
                entities=[{"name": text, "type": "Thing"}, {"name": f"{text[:99]} 2", "type": text}],
                relationships=[{"source": text, "type": "IS<b>", "target": f"{text[:99]} 2"}],
                embedding=vector(1),
                metadata={"</pre><script>": text},
            )
        await site.memories.drain()
        await site.stores.list_all()
        page = await site.page("/dashboard/outbox", viewport=PHONE)
        assert await _overflow(page) <= 0
        await page.get_by_role("link", name="Overview").click()
        await page.goto("/dashboard/outbox")
        links = await page.get_by_role("table").get_by_role("link").all()
        addresses = [await link.get_attribute("href") for link in links]
        assert len(addresses) == len(HOSTILE)
        for address in addresses:
            await page.goto(f"{site.url}{address}")
            await expect(page.get_by_role("heading", name="Both copies")).to_be_visible()
            assert await page.title() != "owned"
            assert await page.evaluate("document.querySelectorAll('main script, main img').length") == 0
            assert "\u202e" not in await page.content()
            assert await _overflow(page) <= 0


async def _overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
