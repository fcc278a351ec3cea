# SPDX-License-Identifier: BSD-3-Clause
"""The map in a real browser, with a real broker: clusters, tracks, moving nodes, the past."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.time_limits import time_limit
from tests.web.conftest import Browser
from tests.web.serving import Served, serving
from tests.web.test_dashboard_for_everybody import AXE, violations
from tests.web.test_dashboard_page import PHONE, has, no_page, see, until
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

PLACES: Final = {"roof": (48.71, 2.2), "cellar": (48.71, 2.2), "oslo": (59.9, 10.75)}


@asynccontextmanager
async def mapped(folder: Path) -> AsyncIterator[Served]:
    """A broker with three nodes that have a position, and one without."""
    built = load_built()
    if not built:
        no_page()
    async with serving(folder, dashboard=Dashboard(Look(), built)) as broker:
        for uid in (*PLACES, "box"):
            broker.gateway.send(uid, "temperature", "20 °C")
        await broker.known("box")
        for uid, (lat, lng) in PLACES.items():
            await place(broker, uid, lat, lng)
        yield broker


async def place(broker: Served, uid: str, lat: float, lng: float) -> None:
    body = {"latitude": lat, "longitude": lng}
    async with broker.web.patch(f"/api/nodes/{uid}", json=body) as answer:
        assert answer.status == 200


async def where(broker: Served, uid: str) -> tuple[float, float] | None:
    node = await broker.json(f"/api/nodes/{uid}")
    return None if node["latitude"] is None else (node["latitude"], node["longitude"])


def mark(page: "Page", uid: str) -> "Locator":
    return page.locator(f'.map-node[data-uid="{uid}"]')


async def test_clusters_open_and_nodes_are_moved_by_keyboard_and_pointer(
    browser: Browser, tmp_path: Path
) -> None:
    async with mapped(tmp_path) as broker, showing(browser, broker, "map") as page:
        cluster = page.locator(".map-cluster")
        await see(cluster, "2")
        await has(cluster, "title", "2 nodes: cellar, roof")
        await cluster.click()  # they have the same position: the cluster opens in place
        await see(page.locator(".map-place"), "cellar")
        await page.get_by_role("button", name="Move nodes").click()

        # By keyboard, north by 10 pixels and back; Enter saves.
        before = await where(broker, "oslo")
        assert before is not None
        await mark(page, "oslo").focus()
        for key in ("ArrowUp", "Shift+ArrowLeft"):
            await page.keyboard.press(key)
        assert await where(broker, "oslo") == before
        await page.keyboard.press("Enter")
        await see(page.locator(".toast"), "oslo was moved")
        moved = await where(broker, "oslo")
        assert moved is not None
        assert (moved[0] > before[0], moved[1] < before[1]) == (True, True)
        await page.get_by_role("button", name="Undo").click()
        await until(page, "!document.querySelector('.toast')")
        assert await where(broker, "oslo") == before

        # By pointer.
        box = await mark(page, "oslo").bounding_box()
        assert box is not None
        x, y = box["x"] + 22, box["y"] + 22
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x + 30, y + 40, steps=4)
        await page.mouse.up()
        await see(page.locator(".toast"), "oslo was moved")
        dragged = await where(broker, "oslo")
        assert dragged is not None
        assert (dragged[0] < before[0], dragged[1] > before[1]) == (True, True)

        # A node without a position.
        await page.get_by_role("button", name="Put in the middle: box").click()
        await see(page.locator(".toast"), "box was placed")
        await mark(page, "box").wait_for()
        assert await where(broker, "box") is not None


async def test_a_node_that_was_moved_meanwhile_stays_where_the_other_put_it(
    browser: Browser, tmp_path: Path
) -> None:
    async with mapped(tmp_path) as broker, showing(browser, broker, "map") as page:
        await page.get_by_role("button", name="Move nodes").click()
        await mark(page, "oslo").focus()
        await page.keyboard.press("ArrowUp")
        # The page has not received it when it saves.
        stale = await broker.json("/api/nodes/oslo")
        await place(broker, "oslo", 60.0, 11.0)

        async def late(route: Any) -> None:
            headers = {**route.request.headers, "if-match": f'"{stale["revision"]}"'}
            await route.continue_(headers=headers)

        await page.route("**/api/nodes/oslo", late)
        await page.keyboard.press("Enter")
        await see(page.locator(".toast"), "Somebody else moved oslo meanwhile.")
        assert await where(broker, "oslo") == (60.0, 11.0)


async def test_a_node_that_is_offline_stays_on_the_map_with_since_when(
    browser: Browser, tmp_path: Path
) -> None:
    async with mapped(tmp_path) as broker:
        broker.gateway.lose("oslo")
        async with showing(browser, broker, "map") as page:
            await see(page.locator(".place", has_text="oslo"), "offline for")
            await has(mark(page, "oslo"), "data-state", "off")
            await see(page.locator(".map-place"), "offline for")
            await mark(page, "oslo").click()
            await until(page, "location.hash === '#/node/oslo'")


async def test_the_timeline_sets_the_map(browser: Browser, tmp_path: Path) -> None:
    """Positions at that time, and the tracks to them, also across the antimeridian."""
    async with mapped(tmp_path) as broker:
        now = time.time()
        for minute in range(60, -1, -10):
            lng = 179.5 + (60 - minute) / 60  # 180.5 is -179.5
            data = json.dumps({"lat": -17.0, "lng": lng if lng <= 180 else lng - 360})
            broker.gateway.send("ferry", "position", data, ts=now - minute * 60 - 1)
        await broker.known("ferry")
        async with showing(browser, broker, "map?q=ferry") as page:
            aside = page.locator(".map-screen aside")
            await see(aside, "17.00000° S 179.50000° W")
            scale = "document.querySelector('.map-scale').textContent"
            await until(page, f"/^[125]0\\skm$/.test({scale})")
            await page.keyboard.press("t")
            moment = await page.evaluate(
                """(ts) => {
                  const at = new Date(ts * 1000);
                  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
                }""",
                now - 55 * 60,
            )
            await page.locator(".timeline .moment input").fill(moment)
            await see(aside, "17.00000° S 179.50000° E")
            assert await page.get_by_role("button", name="Move nodes").count() == 0
            await page.locator(".timeline .primary").click()
            await see(aside, "17.00000° S 179.50000° W")


async def test_the_map_has_no_accessibility_violations(browser: Browser, tmp_path: Path) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (scripts/page.py --check)")
    async with (
        mapped(tmp_path) as broker,
        showing(browser, broker, "map", color_scheme="dark", **PHONE) as page,
    ):
        await page.locator(".map-cluster").click()
        await page.get_by_role("button", name="Move nodes").click()
        assert await violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_a_room_gets_a_floor_plan_and_its_nodes_are_put_on_it(
    browser: Browser, tmp_path: Path
) -> None:
    async with mapped(tmp_path) as broker:
        async with broker.web.patch("/api/nodes/box", json={"room": "Lab 1"}) as answer:
            assert answer.status == 200
        async with showing(browser, broker, "map") as page:
            choice = page.get_by_label("Map or floor plan")
            await choice.select_option("Lab 1")
            await see(page.locator(".map-screen"), "Lab 1 has no floor plan")
            header = await page.locator("header").bounding_box()
            assert header is not None
            picture = await page.locator("header").screenshot(type="jpeg")
            await page.locator('input[type="file"]').set_input_files(
                {"name": "plan.jpg", "mimeType": "image/jpeg", "buffer": picture}
            )
            await see(page.locator(".toast"), "Lab 1 has a floor plan")
            # The image was drawn again, so that it has no metadata of a photograph.
            (plan,) = (await broker.json("/api/plans"))["plans"]
            assert (plan["type"], plan["width"], plan["height"]) == (
                *("image/webp", header["width"], header["height"]),
            )
            width = "document.querySelector('.plan-sheet img').naturalWidth"
            await until(page, f"{width} === {header['width']}")
            # The URL has the plan, so that it can be shared and saved as a view.
            await until(page, """decodeURIComponent(location.hash) === '#/map?q=room:"Lab 1"'""")
            await choice.select_option("Map")
            await until(page, "location.hash === '#/map'")
            await page.go_back()
            await see(page.get_by_label("Map or floor plan").locator("option:checked"), "Lab 1")

            await page.get_by_role("button", name="Move nodes").click()
            await page.get_by_role("button", name="Put in the middle: box").click()
            await see(page.locator(".toast"), "box was placed")
            await mark(page, "box").focus()
            await page.keyboard.press("ArrowRight")
            await page.keyboard.press("Shift+ArrowUp")
            await page.keyboard.press("Enter")
            await see(page.locator(".toast"), "box was moved")
            assert await spot(broker) == {"x": 0.51, "y": 0.498}

            sheet = await page.locator(".plan-sheet").bounding_box()
            box = await mark(page, "box").bounding_box()
            assert sheet is not None
            assert box is not None
            await page.mouse.move(box["x"] + 22, box["y"] + 22)
            await page.mouse.down()
            x, y = sheet["x"] + sheet["width"] / 4, sheet["y"] + sheet["height"] / 2
            await page.mouse.move(x, y, steps=3)
            await page.mouse.up()
            await until(page, "document.querySelector('.plan-node').style.left.startsWith('25')")
            # The message of the previous move may still be shown.
            async with time_limit(15.0):
                while (await spot(broker))["x"] != pytest.approx(0.25, abs=0.01):
                    await page.wait_for_timeout(20)
            await page.get_by_role("button", name="Undo").click()
            await until(page, "!document.querySelector('.toast')")
            assert await spot(broker) == {"x": 0.51, "y": 0.498}
            if AXE.exists():
                assert await violations(page) == []


async def spot(broker: Served) -> Any:
    (plan,) = (await broker.json("/api/plans"))["plans"]
    return plan["places"]["box"]
