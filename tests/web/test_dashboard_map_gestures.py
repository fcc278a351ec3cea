# SPDX-License-Identifier: BSD-3-Clause
"""Fingers and the wheel on the map."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.conftest import Browser
from tests.web.test_dashboard_map import mapped, mark, where
from tests.web.test_dashboard_page import PHONE, has, is_absent, see, until
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

SCALE = "document.querySelector('.map-scale').textContent"


async def draw(page: "Page", start: tuple[float, float], by: tuple[float, float]) -> None:
    """One finger that moves."""
    cdp = await page.context.new_cdp_session(page)
    for step in range(6):
        points: list[dict[str, Any]] = [
            {"x": start[0] + by[0] * step / 5, "y": start[1] + by[1] * step / 5, "id": 0}
        ]
        kind = "touchMove" if step else "touchStart"
        await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def test_a_finger_drags_a_node_to_its_place(browser: Browser, tmp_path: Path) -> None:
    async with mapped(tmp_path) as broker, showing(browser, broker, "map", **PHONE) as page:
        before = await where(broker, "oslo")
        assert before is not None
        await page.get_by_role("button", name="Move nodes").click()
        await has(page.locator(".map-place"), "data-moving", "true")
        await mark(page, "oslo").wait_for()
        box = await mark(page, "oslo").bounding_box()
        assert box is not None
        await draw(page, (box["x"] + 22, box["y"] + 22), (-40, 50))
        await see(page.locator(".toast"), "oslo was moved")
        moved = await where(broker, "oslo")
        assert moved is not None
        assert (moved[0] < before[0], moved[1] < before[1]) == (True, True)
        assert await page.evaluate("scrollY") == 0


async def test_a_map_among_cards_leaves_wheel_and_finger_to_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    shown = {**PHONE, "viewport": {"width": 390, "height": 500}}
    async with mapped(tmp_path) as broker, showing(browser, broker, "nodes", **shown) as page:
        await page.evaluate("localStorage['pyaiot.map'] = 'true'")
        await page.reload()
        await see(page.locator(".map-scale"), "m")
        box = await page.locator(".map-card .map").bounding_box()
        assert box is not None
        middle = (box["x"] + 120, box["y"] + 150)
        before = await page.evaluate(SCALE)
        await page.mouse.move(*middle)
        await page.mouse.wheel(0, 120)
        await see(page.locator(".map-hint"), "Hold Ctrl to zoom with the wheel")
        await until(page, "scrollY === 120")
        await is_absent(page.locator(".map-hint"))
        assert await page.evaluate(SCALE) == before

        await page.mouse.wheel(0, -120)
        await until(page, "scrollY === 0")
        await draw(page, middle, (0, -150))
        await until(page, "scrollY > 50")
        await page.evaluate("scrollTo(0, 0)")
        await page.keyboard.down("Control")
        await page.mouse.wheel(0, 240)
        await page.keyboard.up("Control")
        await until(page, f"{SCALE} !== {json.dumps(before)}")
