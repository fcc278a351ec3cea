# SPDX-License-Identifier: BSD-3-Clause
"""The details of a node over a stored history, and the timeline, with a real broker."""

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import pytest
from playwright.async_api import Error as PlaywrightError

from pyaiot.messages import NodeAppeared, NodeLeft
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import Served, serving
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_for_everybody import AXE, violations
from tests.web.test_dashboard_page import become_desktop, become_phone, has, is_absent, no_page, see
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Route

pytestmark = pytest.mark.sockets

Lamps: TypeAlias = "Shared[Served]"

HOUR = 3600


@asynccontextmanager
async def recorded(folder: Path) -> "AsyncIterator[Served]":
    """A broker with two nodes: their history of the last hours, and their current state."""
    built = load_built()
    if not built:
        no_page()
    async with serving(folder, dashboard=Dashboard(Look(title="Lab"), built)) as served:
        send, link, now = served.gateway.send, served.gateway.link.send, time.time()
        for uid, base in (("lamp", 20), ("shelf", 10)):
            link(NodeAppeared(uid=uid, ts=now - 5 * HOUR))
            for minute in range(5 * 60, 0, -1):
                value = base + (minute % 7) / 10
                send(uid, "temperature", f"{value} °C", ts=now - minute * 60)
            send(uid, "led", "1", ts=now - 4 * HOUR)
            send(uid, "led", "0", ts=now - 2 * HOUR)
            send(uid, "temperature", f"{base + 5} °C", ts=now - 5)
        link(NodeLeft(uid="shelf", ts=now - 3 * HOUR, reason="silent"))
        link(NodeAppeared(uid="shelf", ts=now - 2.5 * HOUR))
        send("shelf", "temperature", "15 °C", ts=now - 4)
        served.gateway.otherwise = "confirmed"
        await served.known("lamp")
        await served.known("shelf")
        async with served.web.put("/api/nodes/lamp/resources/led", data="0") as answer:
            assert answer.status == 200
        await served.until(0)
        yield served


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[Served, Page]]":
    with TemporaryDirectory() as folder:
        async with (
            recorded(Path(folder)) as broker,
            showing(browser, broker, viewport={"width": 1440, "height": 900}) as page,
        ):
            yield broker, page


lamps = shared_page(opened)


async def test_details_show_charts_then_controls_then_what_happened(lamps: Lamps) -> None:
    async with lamps.at("node/lamp") as (_, page):
        dialog = page.get_by_role("dialog")
        await see(dialog, "From the stored history.")
        places = []
        for name in ("Charts", "Values and controls", "About"):
            box = await dialog.get_by_role("heading", name=name, exact=True).bounding_box()
            assert box is not None
            places.append(box["y"])
        assert places == sorted(places)
        await see(dialog.locator(".log"), "LED = 0 · by the machine of the broker")
        await see(dialog.locator(".log"), "confirmed")
        await see(dialog.locator(".log"), "online")
        await is_absent(dialog.get_by_text("curl"))

        await dialog.get_by_role("button", name="6 h", exact=True).click()
        summary = dialog.locator('.chart[data-resource="temperature"] .summary')
        await see(summary, "min20 °C")
        await see(summary, "max25 °C")
        strip = dialog.locator('.chart[data-resource="led"] .strip-bar')
        await see(strip, "unknownOnOff")


async def test_a_value_of_a_card_opens_its_chart_its_changes_and_what_it_is(
    browser: Browser, tmp_path: Path
) -> None:
    async with recorded(tmp_path) as broker, showing(browser, broker) as page:
        # Anywhere in the row of a number; a switch keeps its own press.
        card = page.locator('.card[data-uid="lamp"]')
        await card.locator('[data-resource="temperature"] .unit').click()
        value = page.get_by_role("dialog", name="Temperature of lamp")
        await see(value, "From the stored history.")
        assert page.url.endswith("#/node/lamp?value=temperature")
        await value.get_by_role("button", name="6 h", exact=True).click()
        await see(value.locator(".summary"), "max25 °C")
        assert await value.locator(".chart").count() == 1
        await see(value.locator(".value-changes li").first, "25 °C")
        await see(value.locator(".value-changes li").nth(1), "20.1 °C")
        broker.gateway.send("lamp", "temperature", "26 °C")
        await see(value.locator(".value-changes li").first, "26 °C")
        await see(value.locator(".facts"), "KindNumber")
        await see(value.locator(".facts"), "temperature")
        await page.keyboard.press("Escape")
        await is_absent(value)
        name = card.get_by_role("link", name="Temperature")
        assert await name.evaluate("it => it === document.activeElement")

        # With the keyboard, and from the details, where it returns to.
        await page.goto(f"{broker.url}#/node/lamp")
        details = page.get_by_role("dialog", name="Details of lamp")
        await details.get_by_role("link", name="LED").focus()
        await page.keyboard.press("Enter")
        switch = page.get_by_role("dialog", name="LED of lamp")
        await see(switch.locator(".value-changes li").first, "Off")
        await see(switch.locator(".value-changes li").nth(1), "On")
        await page.keyboard.press("Escape")
        await is_absent(switch)
        await see(details, "Values and controls")
        assert await details.get_by_role("link", name="LED").evaluate(
            "it => it === document.activeElement"
        )

        # The address leads there, and to the node.
        await page.goto(f"{broker.url}#/node/lamp?value=led")
        await switch.get_by_role("link", name="lamp", exact=True).click()
        await is_absent(switch)
        await see(details, "Values and controls")
        await page.goto(f"{broker.url}#/node/lamp?value=volume")
        await see(page.get_by_role("dialog", name="Volume"), "lamp has no value named Volume.")


async def test_charts_are_zoomed_by_dragging_and_with_the_keyboard(lamps: Lamps) -> None:
    async with lamps.at("node/lamp") as (_, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="6 h", exact=True).click()
        chart = dialog.locator('.chart[data-resource="temperature"]')
        await see(chart.locator(".summary"), "max25 °C")
        box = await chart.locator(".u-over").bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 50)
        # The crosshair is on all charts.
        await see(chart.locator(".reading"), "°C")
        await see(dialog.locator('.chart[data-resource="led"] .reading'), "On ·")
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50, steps=4)
        await page.mouse.up()
        await has(dialog.get_by_role("button", name="6 h", exact=True), "aria-pressed", "false")
        await see(chart.locator(".summary"), "max20.6 °C")

        # The pointer rests on the chart, which is drawn again: the keyboard was later.
        slider = chart.get_by_role("slider")
        await slider.focus()
        await page.keyboard.press("0")
        await has(dialog.get_by_role("button", name="6 h", exact=True), "aria-pressed", "true")
        await page.keyboard.press("End")
        await see(chart.locator(".reading"), "25 °C")
        await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
        await see(chart.locator(".reading"), "20.")
        await page.keyboard.press("End")
        await see(chart.locator(".reading"), "25 °C")
        await page.keyboard.press("+")
        await has(dialog.get_by_role("button", name="6 h", exact=True), "aria-pressed", "false")
        await see(chart.locator(".reading"), "25 °C")
        # In steps of two minutes: a reading, not the mean of its step.
        await dialog.get_by_role("button", name="24 h", exact=True).click()
        await see(chart.locator(".summary"), "now25 °C")


async def test_two_nodes_are_compared_in_one_chart_and_saved(lamps: Lamps) -> None:
    async with lamps.at("node/lamp") as (_, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Compare").click()
        await dialog.get_by_role("button", name="Add", exact=True).click()
        chart = dialog.locator('.chart[data-resource="temperature"]')
        await see(chart, "Temperature, shelf")
        await see(chart.locator(".summary").nth(1), "min10")
        async with page.expect_download() as download:
            await dialog.get_by_role("button", name="CSV").click()
        text = (await (await download.value).path()).read_text()
        assert ",lamp,temperature,20" in text
        assert ",shelf,temperature,10" in text
        async with page.expect_download() as download:
            await dialog.get_by_role("button", name="PNG").click()
        picture = (await (await download.value).path()).read_bytes()
        assert picture[:4] == b"\x89PNG"
        assert len(picture) > 10_000
        await dialog.get_by_role("button", name="Remove Temperature, shelf").click()
        await is_absent(chart.get_by_text("Temperature, shelf"))


async def seek(page: "Page", share: float) -> None:
    """Move the slider to a share of its span."""
    await page.get_by_role("slider", name="Moment that the page shows").fill(str(1000 * share))


async def test_the_timeline_shows_the_past_without_controls_and_returns_by_a_key(
    browser: Browser, tmp_path: Path
) -> None:
    async with recorded(tmp_path) as broker, showing(browser, broker) as page:
        lamp = page.locator('.card[data-uid="lamp"]')
        await see(lamp, "25")
        commands = len(broker.gateway.commands)
        await page.keyboard.press("t")
        timeline = page.locator(".timeline")
        await see(timeline, "You see the present.")
        await timeline.get_by_label("Range").select_option("6 h")
        await seek(page, 0.55)  # 2.7 hours ago
        await see(timeline, "You see the past. Controls and edits are off.")
        await see(page.locator("#pill"), "Past")
        await see(lamp, "20.")
        switch = lamp.get_by_role("switch")
        await has(switch, "aria-checked", "true")
        await has(switch, "aria-disabled", "true")
        await switch.click(force=True)
        await see(page.locator("main"), "Offline")  # the shelf was

        # A current reading is not shown in the past.
        broker.gateway.send("lamp", "temperature", "31 °C")
        await page.goto(f"{broker.url}#/node/lamp")
        dialog = page.get_by_role("dialog")
        await see(dialog.locator(".rows"), "20.")
        await page.keyboard.press("Escape")
        await page.keyboard.press("t")
        await see(lamp, "31")
        await see(page.locator("#pill"), "Live")
        await has(lamp.get_by_role("switch"), "aria-disabled", "false")
        assert len(broker.gateway.commands) == commands


async def test_the_key_returns_from_the_slider_also_while_the_past_is_read(
    browser: Browser, tmp_path: Path
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: "Route") -> None:
        arrived.set()
        await go_on.wait()
        with contextlib.suppress(PlaywrightError):  # the page has cancelled it
            await route.continue_()

    async with recorded(tmp_path) as broker, showing(browser, broker) as page:
        await page.keyboard.press("t")
        await seek(page, 0.9)
        await see(page.locator(".timeline"), "You see the past.")
        switch = page.locator('.card[data-uid="lamp"]').get_by_role("switch")
        await has(switch, "aria-disabled", "true")
        slider = page.get_by_role("slider", name="Moment that the page shows")
        await slider.focus()
        await page.keyboard.press("t")
        await has(switch, "aria-disabled", "false")
        await see(page.locator(".timeline"), "You see the present.")

        await page.route("**/api/history/state?*", hold)
        await seek(page, 0.8)
        await asyncio.wait_for(arrived.wait(), 10.0)
        await page.keyboard.press("t")
        go_on.set()
        await is_absent(page.locator(".timeline"))
        await page.wait_for_timeout(500)
        await has(switch, "aria-disabled", "false")


async def test_the_past_is_played(lamps: Lamps) -> None:
    async with lamps.at("nodes") as (_, page):
        lamp = page.locator('.card[data-uid="lamp"] [data-resource="temperature"] .digits')
        await page.keyboard.press("t")
        timeline = page.locator(".timeline")
        await timeline.get_by_label("Range").select_option("6 h")
        await seek(page, 0.7)
        await see(timeline, "You see the past.")
        await timeline.get_by_label("Speed").select_option("60 ×")
        before = await lamp.text_content()
        await timeline.get_by_role("button", name="Play").click()
        while await lamp.text_content() == before:  # a minute each second
            await page.wait_for_timeout(100)
        await timeline.get_by_role("button", name="Pause").click()
        await timeline.get_by_role("button", name="Back to live").click()
        await see(timeline, "You see the present.")
        await page.keyboard.press("t")


@pytest.mark.parametrize("colours", ["dark", "of the system"])
async def test_details_and_timeline_have_no_accessibility_violations(
    lamps: Lamps, colours: str
) -> None:
    """In the dark on a phone, and in the colours of the system."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (scripts/page.py --check)")
    async with lamps.at() as (broker, page):
        if colours == "dark":
            # Without motion, so that each colour is final at once.
            await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            await become_phone(page)
        else:
            await page.emulate_media(forced_colors="active", reduced_motion="reduce")
        timeline = page.locator(".timeline")
        await page.keyboard.press("t")
        await seek(page, 0.9)
        await see(timeline, "You see the past.")
        assert await violations(page) == []
        wide = "document.documentElement.scrollWidth - innerWidth"
        assert await page.evaluate(wide) <= 0
        # Before the past is read, the key closes the timeline; afterwards it leaves the past.
        await see(page.locator("#pill"), "Past")
        await page.keyboard.press("t")
        await see(timeline, "You see the present.")
        await page.keyboard.press("t")
        await is_absent(timeline)
        await page.goto(f"{broker.url}#/node/lamp")
        dialog = page.get_by_role("dialog")
        await see(dialog, "From the stored history.")
        await dialog.get_by_role("button", name="Compare").click()
        await dialog.get_by_role("button", name="Custom").click()
        await dialog.get_by_text("Developer").click()
        assert await violations(page) == []
        assert await dialog.evaluate("it => it.scrollWidth - it.clientWidth") <= 0
        await page.goto(f"{broker.url}#/node/lamp?value=temperature")
        value = page.get_by_role("dialog", name="Temperature of lamp")
        await see(value.locator(".value-changes"), "25 °C")
        assert await violations(page) == []
        assert await value.evaluate("it => it.scrollWidth - it.clientWidth") <= 0
        await page.keyboard.press("Escape")
        await become_desktop(page)
        await page.emulate_media(color_scheme="light", forced_colors="none")


async def test_the_timeline_has_no_line_for_its_close_button_alone(lamps: Lamps) -> None:
    async with lamps.at() as (_, page):
        await page.set_viewport_size({"width": 320, "height": 640})
        await page.keyboard.press("t")
        timeline = page.locator(".timeline")
        close = await timeline.get_by_role("button", name="Close the timeline").bounding_box()
        moment = await timeline.locator(".moment").bounding_box()
        assert close is not None
        assert moment is not None
        assert abs(close["y"] - moment["y"]) < 4
        assert close["x"] + close["width"] <= 320
        await page.keyboard.press("t")
        await become_desktop(page)
