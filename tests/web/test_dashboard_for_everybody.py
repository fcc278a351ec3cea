# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard for everybody: accessibility, phones and slow machines, in a real browser."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.web.conftest import Browser
from tests.web.mock_broker import furnish
from tests.web.test_dashboard_page import PHONE, card, row, running, see, showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

AXE: Final = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: "Page") -> list[str]:
    """The violations that axe-core finds. In the dark scheme, which differs in colours only, only
    contrasts are checked, because all rules take three times as long."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    found = await page.evaluate(
        """axe.run(document, {
            resultTypes: ['violations'],
            ...(matchMedia('(prefers-color-scheme: dark)').matches
                && { runOnly: ['color-contrast'] }),
        })"""
    )
    return [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in found["violations"]]


async def violations_in_both(page: "Page") -> list[str]:
    """Check the light scheme, then the dark one in the same page: a new page takes longer.

    Without motion, so that each colour is final at once.
    """
    found = await violations(page)
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found += [f"dark: {it}" for it in await violations(page)]
    await page.emulate_media(color_scheme="light")
    return found


async def test_low_contrast_in_the_dark_scheme_alone_is_found(browser: Browser) -> None:
    async with browser.page() as page:
        await page.set_content(
            "<html lang=en><title>A</title><main><h1>Head</h1><p>text</p></main><style>"
            "@media (prefers-color-scheme: dark) { body { background: #111 } p { color: #222 } }"
            "@media (prefers-color-scheme: dark) { h1 { color: #fff } }</style>"
        )
        assert await violations_in_both(page) == ["dark: color-contrast: <p>text</p>"]


async def test_dashboard_has_no_accessibility_violations(browser: Browser) -> None:
    """axe-core: no violation on cards, details, editor, table, map, empty and reconnecting."""
    if not AXE.exists():
        assert os.environ.get("CI") != "true", "axe-core is missing: scripts/page.py --test"
        pytest.skip("axe-core is not installed")
    async with running() as broker:
        broker.add_gateway()
        async with showing(browser, broker, reduced_motion="reduce", loses_broker=True) as page:
            assert await violations_in_both(page) == []  # empty
            furnish(broker, 10)
            broker.add_node("r", robot="s", ribot="0:0:0\n", js="let a;", suit_state="3")
            for uid in list(broker.nodes):
                await broker.broadcast(*[broker._appeared(uid), *broker.nodes[uid].values()])
            await see(card(page, "r"), "The signature is invalid.")
            await page.get_by_role("switch", name="LED of Refuses").click()
            await see(row(page, "refuses", "led"), "refused")
            assert await violations_in_both(page) == []
            for place in ("table", "map", "updates", "settings", "node/r", "node/rover"):
                await page.goto(f"{broker.url}#/{place}")
                await page.wait_for_timeout(300)
                assert await violations_in_both(page) == [], place
            await page.goto(f"{broker.url}#/nodes")
            for key, name in (("?", "Keys and search"), ("a", "Activity")):
                await page.keyboard.press(key)
                await see(page.get_by_role("dialog", name=name), name)
                assert await violations_in_both(page) == [], name
                await page.keyboard.press("Escape")
            await broker.stop()
            await see(page.locator(".banner"), "Broker lost")
            assert await violations_in_both(page) == []


async def test_phone_never_scrolls_sideways(browser: Browser) -> None:
    fits = "document.documentElement.scrollWidth <= innerWidth"
    async with running() as broker:
        furnish(broker, 10)
        broker.add_gateway("a-gateway-with-the-longest-name-that-a-gateway-may-have-anywhere")
        wide = "W" * 64
        broker.add_node(wide, {wide: "1.5°C"}, name=wide * 9, board=wide, text=wide * 9, js=wide)
        broker.add_node("r", robot="s", ribot="0:0:0\n", suit_state="6", webcam=wide)
        async with showing(browser, broker, **PHONE, loses_broker=True) as page:
            for place in ("nodes", "table", "map", "updates", "settings", f"node/{wide}"):
                await page.goto(f"{broker.url}#/{place}")
                await page.wait_for_timeout(200)
                assert await page.evaluate(fits), place
                inner = (
                    "(d => !d || d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))"
                )
                assert await page.evaluate(inner), place
            await page.evaluate(
                "(uid) => { localStorage['pyaiot.hiddenNodes'] = JSON.stringify([uid]); }", wide
            )
            for place in ("settings", "nodes"):
                await page.goto(f"{broker.url}#/{place}")
                await page.reload()
                if place == "nodes":
                    await page.locator("#search").click()
                    await page.get_by_role("button", name="Filters").click()
                await see(page.locator(".button.small[data-tip]"), "Show WWW")
                assert await page.evaluate(fits), place
                inner = "(it => it.scrollWidth <= it.clientWidth)(document.querySelector('{}'))"
                box = ".popover" if place == "nodes" else "main"
                assert await page.evaluate(inner.format(box)), place
            await page.goto(f"{broker.url}#/nodes")
            await broker.drop(1013, "outbox full")
            await see(page.locator(".banner"), "This page did not read fast enough.")
            assert await page.evaluate(fits)


async def test_values_build_no_cards_and_are_written_once_per_frame(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 60)
        del broker.nodes["rover"]  # its teapot appears when it is loaded
        async with showing(browser, broker) as page:
            await card(page, "5A0B38D71C9E2F4").scroll_into_view_if_needed()
            await see(row(page, "5A0B38D71C9E2F4", "temperature"), "23.5")
            # Cards are made in portions, and their sparklines are drawn a little later.
            counts = [-1, 0]
            while counts[-1] != counts[-2]:
                await page.wait_for_timeout(500)
                counts.append(await page.evaluate("document.querySelectorAll('#nodes *').length"))
            await page.evaluate("""() => {
                window.made = window.written = 0;
                const watch = (count, options) => new MutationObserver((records) => {
                    window[count] += records.length;
                }).observe(document.getElementById('nodes'), {subtree: true, ...options});
                watch('made', {childList: true});
                watch('written', {characterData: true});
            }""")
            for value in range(1000):
                update = broker.nodes["5A0B38D71C9E2F4"]["temperature"]
                await broker.broadcast(update | {"data": f"{value}.0°C", "value": value})
            await see(row(page, "5A0B38D71C9E2F4", "temperature"), "999.0")
            made, written = await page.evaluate("[made, written]")
            assert made == 0
            assert written < 1500  # digits, and sometimes ages
