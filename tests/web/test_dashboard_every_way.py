# SPDX-License-Identifier: BSD-3-Clause
"""Every screen with the keyboard alone, as text for a screen reader, with fingers, enlarged, in
colours of the system, and on paper. In a real browser, against a real broker with a history."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from pyaiot.alerts.rule import rule_of
from pyaiot.messages import NodeAppeared
from tests.web.conftest import Browser
from tests.web.serving import Served
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_alerts import WARM
from tests.web.test_dashboard_home import SMALL_TARGETS, home
from tests.web.test_dashboard_page import PHONE, see, until
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

pytestmark = pytest.mark.sockets

Desk: TypeAlias = "Shared[Served]"

SCREENS: Final = {
    "nodes": "#nodes .card",
    "fleet": ".tile",
    "table": "tbody tr",
    "map": ".leaflet-container",
    "updates": ".stepper",
    "path": ".path-map",
    "settings": "main select",
    "node/lamp": ".chart canvas",
}
"""Screens, and an element that each of them shows when it is drawn."""
TABS_MAX: Final = 120
"""Largest number of Tab presses from the first to the last control; more are a keyboard trap."""
NAME_PX: Final = 48
"""Less than two lines of the name of a node."""

FOCUS: Final = """() => {
    const it = document.activeElement;
    if (!it || it === document.body) return null;
    const style = getComputedStyle(it), box = it.getBoundingClientRect();
    const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    const name = it.ariaLabel || it.textContent.trim() || it.id;
    return { name, isSeen: (ring || style.boxShadow !== 'none') && box.bottom > 0
        && box.top < innerHeight && box.width > 0 };
}"""


@asynccontextmanager
async def furnished(folder: Path) -> AsyncIterator[Served]:
    """A broker with a history of an hour, an alert, and nodes with controls of many kinds."""
    async with home(folder=folder, alert_rules={"warm": rule_of(WARM)}) as served:
        send, now = served.gateway.send, time.time()
        served.gateway.link.send(NodeAppeared(uid="lamp", ts=now - 4000))
        for minute in range(60, 0, -1):
            send("lamp", "temperature", f"{20 + minute % 7} °C", ts=now - minute * 60)
        send("lamp", "temperature", "31 °C", ts=now)
        send("lamp", "led", "0")
        send("lamp", "position", json.dumps({"lat": 48.7, "lng": 2.2}))
        send("rover", "robot", "s")
        send("rover", "js", "let a;")
        send("rover", "suit_state", "2")
        await served.known("rover")
        await served.until(0)
        yield served


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    with TemporaryDirectory() as folder:
        async with furnished(Path(folder)) as broker, showing(browser, broker) as page:
            yield broker, page


desk = shared_page(opened)


async def go(page: "Page", broker: Served, place: str) -> None:
    await page.goto(f"{broker.url}#/{place}")
    await page.locator(SCREENS[place]).first.wait_for()


# -- the keyboard ---------------------------------------------------------------------------------


async def test_every_screen_is_walked_with_the_keyboard_and_dialogs_return_the_focus(
    desk: Desk,
) -> None:
    async with desk.at() as (broker, page):
        for place in SCREENS:
            await go(page, broker, place)
            await page.evaluate("document.activeElement.blur()")
            names = []
            for _ in range(TABS_MAX):
                await page.keyboard.press("Tab")
                focus = await page.evaluate(FOCUS)
                if focus is None:
                    break
                names.append(focus["name"])
                assert focus["isSeen"], (place, focus)
            assert len(names) < TABS_MAX, (place, names)
            assert len(names) > 8, (place, names)
            if not place.startswith("node/"):
                assert names[0] == "Skip to nodes"
        await go(page, broker, "nodes")
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await until(page, "document.activeElement.id === 'main'")  # the skip link
        for name in ("Alerts: 1", "Activity", "Keys and search"):
            button = page.get_by_role("button", name=name)
            await button.focus()
            await page.keyboard.press("Enter")
            await page.get_by_role("dialog").wait_for()
            await until(page, "!!document.activeElement.closest('dialog')")
            await page.keyboard.press("Escape")
            await page.get_by_role("dialog").wait_for(state="detached")
            await until(page, f"document.activeElement.ariaLabel === '{name}'")
        link = page.locator("#nodes [data-uid=lamp] h3 a")
        await link.focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog").wait_for()
        await page.keyboard.press("Escape")
        await until(page, "document.activeElement.closest('.card')?.dataset.uid === 'lamp'")


# -- a screen reader, and paper -------------------------------------------------------------------


async def test_screens_are_readable_as_text_and_charts_are_printed(desk: Desk) -> None:
    from playwright.async_api import expect

    async with desk.at() as (broker, page):
        await go(page, broker, "nodes")
        await expect(page.get_by_role("main")).to_match_aria_snapshot("""
            - main:
              - list "Gateways"
              - heading "Nodes" [level=2]
              - group "Summary":
                - button /2 online/
              - list "Nodes":
                - listitem:
                  - heading "lamp" [level=3]
                  - link "Temperature"
                  - text: /.* 31\\s?°C/
                  - link "LED"
                  - text: /.* Off/
                  - switch "LED of lamp"
                - listitem:
                  - heading "rover" [level=3]
                  - group /Drive rover/:
                    - button "Left"
                    - button "Forward"
                    - button "Right"
                    - button "Stop"
            """)
        await go(page, broker, "node/lamp")
        dialog = page.get_by_role("dialog", name="Details of lamp")
        await expect(dialog).to_match_aria_snapshot("""
            - dialog "Details of lamp":
              - heading "lamp" [level=2]
              - button "Close"
              - heading "Charts" [level=3]
              - group "Range":
                - button "1 h" [pressed]
              - figure "Temperature °C":
                - term: now
                - definition: 31 °C
              - heading "Values and controls" [level=3]
              - heading "Activity and commands" [level=3]
              - heading "About" [level=3]
            """)
        # Charts are printed without the page around them.
        await page.emulate_media(media="print")
        for hidden in ("header", "#nodes", ".details .close", ".segmented"):
            assert not await page.locator(hidden).first.is_visible(), hidden
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        # The chart is complete on paper: drawn for its width, not cut.
        await until(
            page, "document.querySelector('.chart canvas').width === 680 * devicePixelRatio"
        )
        # The name has one line, also where paper is as narrow as a tablet.
        await page.set_viewport_size({"width": 718, "height": 1000})
        name = await page.locator(".details h2").bounding_box()
        assert name is not None
        assert name["height"] < NAME_PX
        assert (await page.pdf(format="A4")).startswith(b"%PDF-")
        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        await page.emulate_media(media="screen")
        await page.keyboard.press("Escape")
        await page.keyboard.press("n")
        await expect(page.get_by_role("dialog")).to_match_aria_snapshot("""
            - dialog "Alerts":
              - heading "Alerts" [level=2]
              - heading "Warning Too warm" [level=3]
              - list:
                - listitem:
                  - link "lamp"
                  - button "Acknowledge Too warm, lamp"
              - paragraph:
                - checkbox "Notify me in this browser"
              - heading "Rules" [level=3]
            """)
        empty = "[...document.querySelectorAll('ul, ol')].filter((it) => !it.children.length"
        assert await page.evaluate(f"{empty} && it.checkVisibility()).length") == 0


# -- fingers --------------------------------------------------------------------------------------


async def pinch(page: "Page", cdp: "CDPSession", selector: str, *, out: bool) -> None:
    """Two fingers that move apart (`out`) or together, over the middle."""
    box = await page.locator(selector).first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    spans = [30, 45, 60, 80, 100]
    for index, span in enumerate(spans if out else spans[::-1]):
        points: list[dict[str, Any]] = [
            {"x": x - span, "y": y, "id": 0},
            {"x": x + span, "y": y, "id": 1},
        ]
        kind = "touchMove" if index else "touchStart"
        await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def test_everything_is_large_enough_for_fingers_which_zoom_charts_and_map(
    browser: Browser, tmp_path: Path
) -> None:
    async with furnished(tmp_path) as broker, showing(browser, broker, **PHONE) as page:
        for place in SCREENS:
            await go(page, broker, place)
            assert await page.evaluate(SMALL_TARGETS) == [], place
        await page.keyboard.press("Escape")
        for key, name in (("n", "Alerts"), ("a", "Activity"), ("?", "Keys and search")):
            await page.keyboard.press(key)
            await page.get_by_role("dialog", name=name).wait_for()
            assert await page.evaluate(SMALL_TARGETS) == [], name
            await page.keyboard.press("Escape")
        cdp = await page.context.new_cdp_session(page)
        await go(page, broker, "node/lamp")
        await see(page.locator(".spans [aria-pressed=true]"), "1 h")
        await page.locator(".chart canvas").first.scroll_into_view_if_needed()
        await pinch(page, cdp, ".chart canvas", out=True)
        await until(page, "!document.querySelector('.spans [aria-pressed=true]')")
        near = await page.locator(".steps").get_attribute("aria-label")
        await page.keyboard.down("Control")
        await page.locator(".chart .u-over").first.hover()
        await page.mouse.wheel(0, 240)
        await page.keyboard.up("Control")
        await until(page, f"document.querySelector('.steps').ariaLabel !== {json.dumps(near)}")

        await go(page, broker, "map")
        await see(page.locator(".map-scale"), "m")
        scale = "document.querySelector('.map-scale').textContent"
        before = await page.evaluate(scale)
        await pinch(page, cdp, ".leaflet-container", out=False)
        await until(page, f"{scale} !== {json.dumps(before)}")


# -- enlarged, in colours of the system -----------------------------------------------------------


async def test_every_screen_fits_at_200_percent_and_in_colours_of_the_system(
    browser: Browser, tmp_path: Path
) -> None:
    large: dict[str, Any] = {"viewport": {"width": 720, "height": 450}, "device_scale_factor": 2}
    context = large | {"forced_colors": "active", "reduced_motion": "reduce"}
    async with furnished(tmp_path) as broker, showing(browser, broker, **context) as page:
        for place in SCREENS:
            await go(page, broker, place)
            wide = "document.documentElement.scrollWidth - innerWidth"
            assert await page.evaluate(wide) <= 0, place
            moving = "document.getAnimations().filter((it) => it.playState === 'running').length"
            assert await page.evaluate(moving) == 0, place
        # A line in the colour of its background is invisible.
        await go(page, broker, "nodes")
        await page.locator(".spark path").first.wait_for(state="attached")
        assert await page.evaluate("""() => {
            const line = getComputedStyle(document.querySelector('.spark path'));
            const card = getComputedStyle(document.querySelector('.card'));
            return line.stroke !== card.backgroundColor && card.borderStyle !== 'none';
        }""")
        # A selected element has the system colours of a selection.
        for chosen in ("nav [aria-current=page]", ".segmented [aria-pressed=true]"):
            is_marked = """(it) => {
                document.body.append(Object.assign(document.createElement('p'), {id: 'probe'}));
                const [probe, shown] = [document.querySelector('#probe'), getComputedStyle(it)];
                probe.style = 'forced-color-adjust: none; background: Highlight';
                const wanted = getComputedStyle(probe).backgroundColor;
                probe.remove();
                return shown.backgroundColor === wanted;
            }"""
            assert await page.locator(chosen).last.evaluate(is_marked), chosen
