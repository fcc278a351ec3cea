# SPDX-License-Identifier: BSD-3-Clause
"""Alerts and the limits of their rules in the charts of a node, in a real browser."""

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.alerts.rule import rule_of
from pyaiot.web.sign_in import SignIn
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_alerts import WARM, with_alerts
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import is_absent, see
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Route

pytestmark = pytest.mark.sockets

RULES = {
    "warm": rule_of({**WARM, "severity": "critical", "channels": ["pager-of-ada"]}),
    "dry": rule_of({**WARM, "title": "Too dry", "when": "below", "resource": "humidity"}),
}

COLOURED = """() => {
    // Pixels of the first chart in the colour of a critical alert.
    const canvas = document.querySelector(".chart[data-resource] canvas");
    const {width, height} = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const {data} = copy.getImageData(0, 0, width, height);
    const columns = new Map();
    for (let y = 0; y < height; y += 1)
        for (let x = 0; x < width; x += 1) {
            const at = 4 * (y * width + x);
            if (data[at + 3] > 200 && data[at] > 150 && data[at + 1] < 90 && data[at + 2] < 90)
                columns.set(x, (columns.get(x) ?? 0) + 1);
        }
    return [Math.max(0, ...columns.values()), columns.size];
}"""


async def marks(page: "Page") -> tuple[float, int]:
    """The length of the longest vertical line in the colour of a critical alert, and the number of
    columns in which there is that colour; both in pixels of the first chart."""
    length, columns = await page.evaluate(COLOURED)
    return length, columns


async def test_an_alert_is_marked_in_the_chart_and_read_by_keyboard_and_screen_readers(
    browser: Browser,
) -> None:
    async with with_alerts(alert_rules=RULES) as broker:
        # Earlier than the alert, so that the line of the values does not cover its mark.
        earlier = time.time() - 300.0
        broker.gateway.send("lamp", "temperature", "20 °C", earlier)
        broker.gateway.send("other", "temperature", "40 °C")
        await broker.known("lamp")
        async with showing(browser, broker, "node/lamp", color_scheme="light") as page:
            dialog = page.get_by_role("dialog")
            await see(dialog.locator(".limits"), "Too warm: above 30 °C")
            # Alerts of other nodes are not shown.
            await is_absent(dialog.locator(".alert-strip"))

            broker.gateway.send("lamp", "temperature", "31.5 °C", earlier + 100.0)
            strip = dialog.locator(".alert-strip")
            await see(strip, "Too warm · Temperature · 31.5 °C: since ")
            assert await strip.locator('[data-severity="critical"][data-state="active"]').count()
            slider = strip.get_by_role("slider", name="Alerts over time")
            await slider.focus()
            await page.keyboard.press("Home")
            await see(strip.locator(".reading"), "Too warm · Temperature · 31.5 °C · ")
            spoken = await slider.get_attribute("aria-valuetext")
            assert spoken is not None
            assert spoken.startswith("Too warm · Temperature · 31.5\u00a0°C · ")

            broker.gateway.send("lamp", "temperature", "20 °C", earlier + 200.0)
            await see(strip.locator("li", has_text="Too warm"), " – ")
            await page.wait_for_function(f"() => ({COLOURED})()[0] > 60")
            length, columns = await marks(page)
            # The limit is a horizontal line, the time of the alert a vertical one.
            assert length > 60
            assert columns > 100
            assert await violations_in_both(page) == []


async def test_a_visitor_sees_limits_and_alerts_and_nothing_else_of_the_rules(
    browser: Browser,
) -> None:
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=True, clock=time.monotonic)
    async with with_alerts(alert_rules=RULES, login=login) as broker:
        broker.gateway.send("lamp", "temperature", "31 °C")
        await eventually(lambda: broker.alerts.raised)
        async with showing(browser, broker, "node/lamp", color_scheme="light") as page:
            dialog = page.get_by_role("dialog")
            await see(dialog.locator(".limits").last, "Too warm: above 30 °C")
            await see(dialog.locator(".alert-strip"), "Too warm · Temperature · 31 °C: since ")
            await page.wait_for_function(f"() => ({COLOURED})()[1] > 100")
            assert "pager" not in await page.content()
            await page.keyboard.press("Escape")
            await page.keyboard.press("n")
            await see(page.get_by_role("dialog"), "Too warm")
            assert await page.get_by_role("button", name="Acknowledge").count() == 0


WITHOUT_LIMITS: Final = {"empty": "{}", "null": "null", "limits": '{"limits": null}'}
"""Answers of a broker that has no limits, by the node of which they are."""


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[Served, Page]]":
    async with with_alerts() as broker:
        for uid in WITHOUT_LIMITS:
            broker.gateway.send(uid, "temperature", "20 °C")
            await broker.known(uid)
        async with showing(browser, broker) as page:
            yield broker, page


lamps = shared_page(opened)


@pytest.mark.parametrize("uid", WITHOUT_LIMITS)
async def test_charts_are_shown_with_a_broker_that_has_no_limits(
    lamps: Shared[Served], uid: str
) -> None:
    requested = []

    async def without_limits(route: "Route") -> None:
        requested.append(route.request.url)
        await route.fulfill(body=WITHOUT_LIMITS[uid], content_type="application/json")

    async with lamps.at() as (_, page):
        await page.route("**/limits", without_limits)
        await page.evaluate("(uid) => { location.hash = `#/node/${uid}`; }", uid)
        dialog = page.get_by_role("dialog")
        await dialog.locator(".chart canvas").wait_for()
        await see(dialog.locator(".digits").first, "20")
        await is_absent(dialog.locator(".limits"))
        assert [url for url in requested if f"/{uid}/" in url]
        await page.unroute("**/limits")
