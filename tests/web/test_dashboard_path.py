# SPDX-License-Identifier: BSD-3-Clause
"""The path: devices, gateways, broker, clients, and why a board is missing; with a real broker."""

import time
from pathlib import Path
from typing import Any

import pytest

from pyaiot.messages import Ignored
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import serving
from tests.web.test_dashboard_for_everybody import AXE, violations
from tests.web.test_dashboard_page import PHONE, become_desktop, has, no_page, see
from tests.web.test_dashboard_registry import showing

pytestmark = pytest.mark.sockets


def broker_with_page(folder: Path) -> Any:
    built = load_built()
    if not built:
        no_page()
    return serving(folder, dashboard=Dashboard(Look(title="Lab"), built))


async def test_a_command_travels_and_its_receipt_is_shown(browser: Browser, tmp_path: Path) -> None:
    async with broker_with_page(tmp_path) as broker, showing(browser, broker, "path") as page:
        broker.gateway.send("lamp", "led", "0")
        broker.gateway.otherwise = "confirmed"
        place = page.locator(".path")
        await see(place.locator('[data-gateway="test"]'), "1 online")
        await see(place.locator('[data-box="broker"]'), "keeps a history")
        await place.get_by_role("switch", name="Switch LED of lamp").click()
        await see(place.locator(".log"), "LED = 1 → lamp · test")
        await see(place.locator(".log"), "confirmed")
        # A command of another client, from the history.
        async with broker.web.put("/api/nodes/lamp/resources/led", data="refused") as answer:
            assert answer.status == 502
        await see(place.locator(".log"), "LED = refused → lamp · test · by the machine")
        assert await place.locator(".log li").count() == 2

        await place.locator('[data-device="lamp"] a').click()
        await see(page.get_by_role("dialog"), "Charts")
        await page.keyboard.press("Escape")
        await place.locator('[data-gateway="test"]').click()
        await page.wait_for_function("location.hash === '#/nodes?q=gateway%3Atest'")


async def test_why_a_board_is_not_seen_is_answered(browser: Browser, tmp_path: Path) -> None:
    async with broker_with_page(tmp_path) as broker, showing(browser, broker, "path") as page:
        broker.gateway.send("lamp", "led", "0")
        place = page.locator(".path")
        await see(place, "Nothing was refused, and no node waits for approval.")
        broker.gateway.link.send(
            Ignored(
                count=3,
                topic="home/<b>x",
                topics=("home/<b>x",),
                messages_refused=2,
                refusals=("post from fe80::7 refused: bad name",),
                refusal_times=(time.time() - 130,),
            )
        )
        await see(place, "Gateway test refused 2 messages. The latest:")
        line = place.locator(".why-lines").first
        await see(line, "post from fe80::7 refused: bad name 2m ago")
        await see(place, "home/<b>x")
        search = place.get_by_label("Uid, name, address or topic of the board")
        await search.fill("FE80::7")
        await see(place.locator(".found"), "Gateway test refused it: post from fe80::7")
        await search.fill("lam")
        await see(place.locator(".found"), "lamp is online · test")
        await search.fill("my-board")
        await see(place, "Nothing was received that contains my-board.")
        broker.gateway.lose("lamp")
        await search.fill("lamp")
        await see(place.locator(".found"), "lamp is offline")


PEER: dict[str, Any] = {
    "name": "cellar",
    "address": "http://cellar.local:8081",
    "version": "0.1.0",
    "state": "online",
    "silent_s": 0.1,
    "lag_s": 0.2,
    "nodes": 7,
    "gateways": 2,
}
CLUSTER: dict[str, Any] = {
    "in_cluster": True,
    "name": "roof",
    "version": "0.1.0",
    "connected": True,
    "problem": "",
    "queued_bytes": 0,
    "nodes": 1,
    "gateways": 1,
    "peers": [PEER, {**PEER, "name": "barn", "address": "", "state": "lost", "nodes": None}],
}


async def facts_of(dialog: Any) -> list[tuple[str, ...]]:
    rows = await dialog.locator(".facts > div").all_inner_texts()
    return [tuple(row.split("\n")) for row in rows]


async def test_the_brokers_of_a_cluster_are_boxes_and_the_path_is_readable_as_text(
    browser: Browser, tmp_path: Path
) -> None:
    async with broker_with_page(tmp_path) as broker, browser.page(**PHONE) as page:
        await page.route("**/api/cluster", lambda route: route.fulfill(json=CLUSTER))
        broker.gateway.send("lamp", "led", "0")
        await page.goto(f"{broker.url}#/path")
        place = page.locator(".path-map")
        await see(place.locator('[data-box="broker"]'), "roof")
        await see(place.locator('[data-box="broker cellar"]'), "7 nodes, 2 gateways")
        await has(
            place.locator('[data-box="broker cellar"]'), "href", "http://cellar.local:8081/#/path"
        )
        await see(place.locator('[data-box="broker barn"]'), "lost")
        # In the order of a screen reader: from the devices to the clients.
        text = await place.aria_snapshot()
        order = ['link "lamp', "switch", 'button "test 1 online', "roof", "cellar", "barn"]
        at = [text.index(word) for word in [*order, "This page"]]
        assert at == sorted(at), text
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        if AXE.exists():
            assert await violations(page) == []
        # Without an address, a box opens a list of the known facts.
        await place.get_by_role("button", name="barn").click()
        barn = page.get_by_role("dialog", name="barn")
        await see(barn, "Last packet")
        assert await facts_of(barn) == [
            ("State", "lost"),
            ("Version", "Pyaiot 0.1.0"),
            ("Last packet", "now"),
            ("Gateways", "2"),
        ]
        if AXE.exists():
            assert await violations(page) == []


async def test_every_box_leads_somewhere(browser: Browser, tmp_path: Path) -> None:
    async with (
        broker_with_page(tmp_path) as broker,
        broker.web.ws_connect("/ws"),
        browser.page() as page,
    ):
        await page.route("**/api/cluster", lambda route: route.fulfill(json=CLUSTER))
        broker.gateway.send("lamp", "led", "0")
        await page.goto(f"{broker.url}#/path")
        await see(page.locator('[data-box="others"]'), "2 connected")
        boxes = page.locator(".path-place :is([data-box], [data-gateway], [data-device])")
        dead = await boxes.evaluate_all(
            "all => all.filter(it => !it.matches('button, a[href], :has(> a[href])')).length"
        )
        assert dead == 0
        assert await boxes.count() == 7
        await page.locator('[data-box="others"]').click()
        others = page.get_by_role("dialog", name="1 other")
        await see(others, "Nobody signs in here, so they have no names.")
        assert ("Connected", "2") in await facts_of(others)
        await page.keyboard.press("Escape")
        assert await page.get_by_role("dialog").count() == 0
        await page.locator('[data-box="page"]').click()
        await page.wait_for_function("location.hash === '#/settings'")
        await page.go_back()
        await page.locator('[data-box="broker"]').click()
        await see(page.get_by_role("dialog"), "Activity")


STOPS = """() => {
    window.ways_ = [];
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (frames, ...more) {
        const place = document.querySelector('.path-place').getBoundingClientRect();
        const boxes = [...document.querySelectorAll('[data-box], [data-gateway], [data-device]')];
        const at = (x, y) => boxes.find((it) => {
            const {left, right, top, bottom} = it.getBoundingClientRect();
            return left <= x && x <= right && top <= y && y <= bottom;
        });
        ways_.push(frames.map(({translate}) => {
            const [x, y] = translate.split(' ').map(parseFloat);
            const {box, gateway, device} = at(x + place.left, y + place.top)?.dataset ?? {};
            return box ?? gateway ?? device;
        }));
        return animate.call(this, frames, ...more);
    };
}"""
"""The boxes at the points at which an animation of the dot stops."""


async def test_a_command_passes_the_broker_of_its_gateway(browser: Browser, tmp_path: Path) -> None:
    async with broker_with_page(tmp_path) as broker, browser.page() as page:
        gateways = {"gateways": [{"name": "test", "broker": "cellar", "readings": 1}]}
        await page.route("**/api/cluster", lambda route: route.fulfill(json=CLUSTER))
        await page.route("**/api/gateways", lambda route: route.fulfill(json=gateways))
        broker.gateway.send("lamp", "led", "0")
        broker.gateway.otherwise = "confirmed"
        await page.goto(f"{broker.url}#/path")
        await see(page.locator('[data-gateway="test"]'), "at cellar")
        await see(page.locator('[data-box="broker cellar"]'), "7 nodes, 2 gateways")
        await page.evaluate(STOPS)
        await page.get_by_role("switch", name="Switch LED of lamp").click()
        await page.wait_for_function("ways_.length === 2")
        way = ["page", "broker", "broker cellar", "test", "lamp"]
        assert await page.evaluate("ways_") == [way, way[::-1]]


async def test_the_path_has_no_accessibility_violations_and_is_used_by_keyboard(
    browser: Browser, tmp_path: Path
) -> None:
    """On a phone in the dark, and in colours of the system."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (scripts/page.py --check)")
    async with (
        broker_with_page(tmp_path) as broker,
        showing(browser, broker, "path", color_scheme="dark", **PHONE) as page,
    ):
        broker.gateway.send("lamp", "led", "0")
        broker.gateway.otherwise = "confirmed"
        switch = page.get_by_role("switch", name="Switch LED of lamp")
        log = page.locator(".path .log")
        for value in ("1", "0"):
            await switch.focus()
            await page.keyboard.press("Enter")
            await see(log, f"LED = {value}")
            await see(log, "confirmed")
            broker.gateway.send("lamp", "led", value)
            await has(switch, "aria-checked", "true" if value == "1" else "false")
            assert await violations(page) == []
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            await become_desktop(page)
            await page.emulate_media(
                color_scheme="light", forced_colors="active", reduced_motion="reduce"
            )
