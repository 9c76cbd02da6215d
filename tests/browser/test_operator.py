"""What an operator does at night: sees that something is wrong, looks at it, mends it, sees that it is well."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from api.operating import Order
from persistence.ports.runs import Depth, RunKind
from sync import Pace
from tests.browser.conftest import Open
from tests.faults import drifts
from tests.faults.stores import ALICE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_drift_is_seen_planned_confirmed_and_mended(opening: Open) -> None:
    """Drift shows on the first screen, a check and a plan say what it is, and the confirmed repair turns it green."""
    async with opening() as site:
        keys = await drifts.fill(site.memories, [ALICE], 40)
        await drifts.missing(site.stores, keys[:3])
        await drifts.stale(site.stores, keys[3:5])
        await drifts.content(site.stores, keys[5:6])
        page = await site.page()
        verdict = page.locator("#verdict")
        await expect(verdict).to_have_text("Nothing is in doubt, but no check was made.")
        await page.get_by_role("link", name="Check…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Check").click()
        await expect(page.locator("#run-sentence")).to_contain_text("6 of 40 memories differ")
        await page.get_by_role("link", name="Overview").click()
        await expect(verdict).to_have_text("The stores are not in step.")
        await expect(page.locator("#f-open b")).to_have_text("6")
        await page.get_by_role("link", name="missing in the graph").click()
        await page.get_by_role("link", name=keys[0].id).click()
        await expect(page.get_by_text("only in truth").first).to_be_visible()
        await page.get_by_role("link", name="Runs").click()
        await page.get_by_role("link", name="Check · quick").click()
        await page.get_by_role("button", name="Plan a repair of what it found").click()
        await expect(page.locator("#run-sentence")).to_contain_text("Planned: 6 of 6 inconsistencies can be mended")
        assert len(await site.stores.differences()) >= 6
        await page.get_by_role("link", name="Carry the plan out…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Repair").click()
        await expect(page.locator("#run-sentence")).to_contain_text("Mended: 6 of 6 inconsistencies")
        await page.get_by_role("link", name="Overview").click()
        await expect(verdict).to_have_text("Both stores are in step.")
        await expect(page.locator(".verdict")).to_have_class(re.compile(r"\bok\b"))
        await site.stores.assert_in_step()


async def test_progress_of_a_run_is_followed_without_loading_the_page(opening: Open) -> None:
    """The first screen shows how far a run is while it goes on, and renews itself when the run has ended."""
    async with opening() as site:
        await drifts.fill(site.memories, [ALICE], 60)
        run = await site.host.desk.begin(Order(RunKind.CHECK, Depth.FULL, pace=Pace(rows_per_second=20)))
        page = await site.page()
        await page.evaluate("window.same = true")
        progress = page.locator(f"#live-{run.id} .progress p")
        await expect(progress).to_contain_text("a second")
        await expect(page.locator("#verdict")).to_have_text("Both stores are in step.")
        await expect(page.get_by_text("No check, repair or rebuild is under way.")).to_be_visible()
        assert await page.evaluate("window.same")


async def test_a_run_is_stopped_and_taken_up_from_its_page(opening: Open) -> None:
    """A run that is stopped from its page says so there, and goes on to its end when it is taken up."""
    async with opening() as site:
        await drifts.fill(site.memories, [ALICE], 60)
        run = await site.host.desk.begin(Order(RunKind.CHECK, Depth.FULL, pace=Pace(rows_per_second=20)))
        page = await site.page(f"/dashboard/runs/{run.id}")
        await page.get_by_role("link", name="Stop the run…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
        await expect(page.get_by_role("heading", name="The run was asked to stop")).to_be_visible()
        await page.get_by_role("link", name="Back to the run").click()
        await expect(page.locator("#run-sentence")).to_contain_text("stopped on request")
        await page.get_by_role("link", name="Take it up…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take it up").click()
        await expect(page.locator("#run-sentence")).to_contain_text("In step: 60 memories")


async def test_dead_entries_are_retried_and_discarded(opening: Open) -> None:
    """A dead entry that is retried is due again; one that somebody mended meanwhile is skipped, with the reason."""
    async with opening() as site:
        keys = await drifts.fill(site.memories, [ALICE], 4)
        await site.stores.list_all()
        await site.stores.rows(
            "UPDATE outbox SET attempts = 8, dead_at = clock_timestamp(), reason = 'It was refused.'"
        )
        page = await site.page("/dashboard/outbox?state=dead")
        for number in (0, 1):
            await page.get_by_role("checkbox", name=f"Choose {keys[number].id}").check()
        await page.get_by_role("button", name="Retry the chosen…").click()
        await site.memories.retry_dead([keys[1]])
        await page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        await expect(page.get_by_role("heading", name="1 entry is due again.")).to_be_visible()
        await expect(page.get_by_text("somebody retried, discarded or wrote them meanwhile")).to_be_visible()
        await page.get_by_role("link", name="Back to the outbox").click()
        await page.get_by_role("checkbox", name=f"Choose {keys[2].id}").check()
        await page.get_by_role("button", name="Discard the chosen…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Discard").click()
        await expect(page.get_by_role("heading", name="1 entry is moved to the open inconsistencies.")).to_be_visible()
        await page.goto(f"/dashboard/memory?user_id=alice&id={keys[3].id}")
        await expect(page.get_by_text("It was refused.")).to_be_visible()
        await page.get_by_role("link", name="Retry…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        await expect(page.get_by_role("heading", name="1 entry is due again.")).to_be_visible()
        await site.memories.drain()
        assert await site.stores.outbox() == []


async def test_a_rebuild_is_planned_and_carried_out(opening: Open) -> None:
    """A rebuild's plan counts what it would write, and only the confirmed rebuild writes it."""
    async with opening() as site:
        await drifts.fill(site.memories, [ALICE], 12)
        await site.stores.cypher("MATCH (n:DiptychMemory|DiptychEntity) DETACH DELETE n")
        page = await site.page()
        await page.get_by_role("link", name="Plan a rebuild…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Make the plan").click()
        await expect(page.locator("#run-sentence")).to_contain_text("Planned: 12 memories to be written anew")
        assert await site.stores.nodes() == {}
        await page.get_by_role("link", name="Carry the plan out…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Rebuild").click()
        await expect(page.locator("#run-sentence")).to_contain_text("Rebuilt: 12 memories")
        await site.stores.assert_in_step()


async def test_a_server_that_is_gone_is_said_on_the_page(opening: Open) -> None:
    """When the first screen can no longer be renewed it says so, instead of showing what was as what is."""
    async with opening() as site:
        site.watch.expected = ("ERR_INTERNET_DISCONNECTED", "htmx:", "Failed to fetch", "Response Status")
        page = await site.page()
        await page.context.set_offline(True)
        await page.evaluate("htmx.trigger('#overview', 'refresh')")
        await expect(page.locator("#stale")).to_contain_text("The server does not answer.")
        await page.context.set_offline(False)
        await page.evaluate("htmx.trigger('#overview', 'refresh')")
        await expect(page.locator("#stale")).to_be_hidden()
