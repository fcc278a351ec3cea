# SPDX-License-Identifier: BSD-3-Clause
"""Alerts in the dashboard: the bell, acknowledging and snoozing, rules; in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pyaiot.alerts.rule import rule_of
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.web.api.test_alerts import FakeService
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually, serving
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import PHONE, become_desktop, no_page, see
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Roofs: TypeAlias = "Shared[Served]"

WARM = {"title": "Too warm", "when": "above", "resource": "temperature", "limit": 30}


def with_alerts(**parts: Any) -> Any:
    built = load_built()
    if not built:
        no_page()
    return serving(dashboard=Dashboard(Look(title="Lab"), built), **parts)


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    """A broker with a channel and without rules."""
    parts = {"alert_channels": {"pager": "ntfy://good"}, "sender": FakeService()}
    async with with_alerts(**parts) as broker, showing(browser, broker) as page:
        yield broker, page


roofs = shared_page(opened)


async def test_the_bell_counts_alerts_and_they_are_acknowledged(browser: Browser) -> None:
    rules = {"warm": rule_of(WARM)}
    async with with_alerts(alert_rules=rules) as broker, showing(browser, broker) as page:
        bell = page.locator(".bell")
        await bell.wait_for()
        broker.gateway.send("lamp", "temperature", "31 °C")
        broker.gateway.send("<b>x</b>", "temperature", "32 °C")
        await see(bell, "2")
        await page.wait_for_function("document.title === '(2) Lab'")

        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog")
        await see(dialog.locator(".alert-list li", has_text="lamp"), "Temperature · 31 °C")
        await see(dialog, "<b>x</b>")
        await dialog.get_by_role("button", name="Acknowledge all").click()

        await see(dialog, "acknowledged by the machine of the broker")
        await page.wait_for_function("document.title === 'Lab'")


async def test_an_alert_is_snoozed_and_clears_by_itself(browser: Browser) -> None:
    rules = {"warm": rule_of(WARM)}
    async with with_alerts(alert_rules=rules) as broker, showing(browser, broker) as page:
        broker.gateway.send("lamp", "temperature", "31 °C")
        await see(page.locator(".bell"), "1")
        await page.locator(".bell").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Snooze 1 h: Too warm").click()
        await see(dialog, "snoozed until")

        broker.gateway.send("lamp", "temperature", "20 °C")

        await see(dialog, "Everything that the rules watch is as it should be.")
        await see(dialog, "Earlier")


async def test_a_rule_is_made_edited_and_removed(roofs: Roofs) -> None:
    async with roofs.at() as (broker, page):
        await page.locator(".bell").click()
        dialog = page.get_by_role("dialog")
        await see(dialog, "There are no rules yet.")
        await dialog.get_by_role("button", name="Add a rule").click()
        await dialog.get_by_label("Name", exact=True).fill("Été chaud")
        await dialog.get_by_label("Resource").fill("temperature")
        await dialog.get_by_label("Limit", exact=True).fill("30")
        await dialog.get_by_label("For at least").fill("soon")
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog.get_by_role("alert"), "is not a duration")
        await dialog.get_by_label("For at least").fill("0s")
        await dialog.get_by_role("button", name="Save").click()
        await eventually(lambda: broker.alerts.engine.rules)
        (rule_id,) = broker.alerts.engine.rules
        assert rule_id == "e-te-chaud"

        await dialog.get_by_role("button", name="Edit Été chaud").click()
        await dialog.get_by_label("Limit", exact=True).fill("40")
        await dialog.get_by_role("button", name="Save").click()
        await eventually(lambda: broker.alerts.engine.rules[rule_id].limit == 40)

        await dialog.get_by_role("button", name="Remove Été chaud").click()
        await eventually(lambda: not broker.alerts.engine.rules)


async def test_a_channel_is_tested(roofs: Roofs) -> None:
    async with roofs.at() as (_, page):
        await page.locator(".bell").click()
        await page.get_by_role("button", name="Send a test to pager").click()
        await see(page.get_by_role("dialog").get_by_role("status"), "sent")


async def test_maintenance_is_planned_and_ended(roofs: Roofs) -> None:
    async with roofs.at() as (broker, page):
        await page.locator(".bell").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Add maintenance").click()
        await dialog.get_by_label("Name", exact=True).fill("New roof")
        await dialog.get_by_label("Repeat").select_option("weekly")
        await dialog.get_by_role("button", name="Save").click()
        await eventually(lambda: broker.alerts.book.maintenance)
        (window,) = broker.alerts.book.maintenance.values()
        assert (window.title, window.repeat, window.end - window.start) == (
            *("New roof", "weekly"),
            3600,
        )
        await see(dialog.locator("[data-window]"), "now")

        await dialog.get_by_role("button", name="End or remove New roof").click()
        await eventually(lambda: not broker.alerts.book.maintenance)


async def test_it_is_accessible_and_fits(browser: Browser) -> None:
    rules = {"warm": rule_of({**WARM, "severity": "critical"})}
    async with (
        with_alerts(alert_rules=rules, alert_channels={"phone": "ntfy://good"}) as broker,
        showing(browser, broker, **PHONE) as page,
    ):
        broker.gateway.send("lamp", "temperature", "31 °C")
        await see(page.locator(".bell"), "1")
        await page.locator(".bell").click()
        await page.get_by_role("button", name="Add a rule").click()
        assert await violations_in_both(page) == []
        wide = "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)"
        assert await page.evaluate(f"{wide}(document.querySelector('dialog'))") <= 0
        await become_desktop(page)
        assert await violations_in_both(page) == []
        assert await page.evaluate(f"{wide}(document.querySelector('dialog'))") <= 0
