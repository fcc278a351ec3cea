# SPDX-License-Identifier: BSD-3-Clause
"""The plain page, in a real browser, against a broker that says what the test wants."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from pyaiot import __version__
from pyaiot.web.page import CONTENT_SECURITY_POLICY
from tests.web.conftest import Browser
from tests.web.mock_broker import HOSTILE_NAME, MockBroker, furnish

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}}
FILES = {
    "": "text/html",
    "static/app.js": "text/javascript",
    "static/connection.js": "text/javascript",
    "static/state.js": "text/javascript",
    "static/view.js": "text/javascript",
    "static/style.css": "text/css",
    "static/favicon.svg": "image/svg+xml",
}


@asynccontextmanager
async def running(*, legacy: bool = False) -> AsyncIterator[MockBroker]:
    broker = MockBroker(legacy=legacy)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@asynccontextmanager
async def showing(
    browser: Browser, broker: MockBroker, *, clock: bool = False, **context: Any
) -> "AsyncIterator[Page]":
    """The page, live. With `clock`, its time can be moved: `page.clock.fast_forward`."""
    async with browser.page(**context) as page:
        if clock:
            await page.clock.install()
        await page.goto(broker.url)
        await see(page.locator("#pill"), "Live")
        yield page


async def see(locator: "Locator", text: str | re.Pattern[str]) -> None:
    from playwright.async_api import expect

    await expect(locator).to_contain_text(text)


async def is_set(switch: "Locator", **attributes: str) -> None:
    """`aria-…` attributes of a switch, after waiting for them."""
    from playwright.async_api import expect

    for name, value in attributes.items():
        await expect(switch).to_have_attribute(f"aria-{name}", value)


def card(page: "Page", name: str) -> "Locator":
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator("#nodes > li").filter(has=heading)


def row(page: "Page", name: str, resource: str) -> "Locator":
    term = page.locator("dt").get_by_text(resource, exact=True)
    return card(page, name).locator(".row").filter(has=term)


def led(page: "Page", name: str) -> "Locator":
    return page.get_by_role("switch", name=f"led of {name}", exact=True)


# -- what is served -------------------------------------------------------------------------


async def test_files_are_served_with_type_policy_and_etag() -> None:
    async with running() as broker, aiohttp.ClientSession(broker.url) as http:
        for path, content_type in FILES.items():
            async with http.get(path) as answer:
                assert answer.status == 200
                assert answer.headers["Content-Type"] == f"{content_type}; charset=utf-8"
                assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
                assert answer.headers["Cache-Control"] == "no-cache"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                etag = answer.headers["ETag"]
            async with http.get(path, headers={"If-None-Match": etag}) as answer:
                assert answer.status == 304
                assert answer.headers["ETag"] == etag
                assert await answer.read() == b""
            async with http.get(path, headers={"If-None-Match": '"another"'}) as answer:
                assert answer.status == 200


async def test_nothing_else_of_the_disk_is_served() -> None:
    async with running() as broker, aiohttp.ClientSession(broker.url) as http:
        for path in ("static/", "static/../page.py", "static/%2e%2e/page.py", "page.py"):
            async with http.get(path) as answer:
                assert answer.status == 404


async def test_info_tells_title_and_version() -> None:
    async with (
        running() as broker,
        aiohttp.ClientSession(broker.url) as http,
        http.get("info.json") as answer,
    ):
        assert await answer.json() == {"title": "Pyaiot", "version": __version__}
        assert answer.headers["Cache-Control"] == "no-cache"


def test_policy_allows_nothing_unsafe_and_nobody_else() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'self';")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


# -- what is there --------------------------------------------------------------------------


async def test_skeletons_stay_until_the_burst_is_complete(browser: Browser) -> None:
    async with running() as broker, browser.page() as page:
        broker.may_join.clear()
        await page.goto(broker.url)
        await see(page.locator("#pill"), "Asking what is there")
        assert await page.locator("#skeletons").is_visible()
        broker.add_gateway()
        broker.may_join.set()
        await see(page.locator("#empty"), "1 gateway connected and listening: coap.")
        await see(page.locator("#empty"), "aiot node coap --temperature --led")
        assert not await page.locator("#skeletons").is_visible()


async def test_node_shows_its_name_and_every_value_with_unit_and_age(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 8)
        async with showing(browser, broker) as page:
            node = card(page, "Weather on the roof")
            await see(node, "5A0B38D71C9E2F4")
            await see(node, "riot · samr21-xpro · CoAP")
            for resource, value in (
                ("temperature", "23.5°C"),
                ("pressure", "1006.60hPa"),
                ("humidity", "40.82%"),
                ("led", "off"),
            ):
                await see(row(page, "Weather on the roof", resource).locator(".value"), value)
                age = row(page, "Weather on the roof", resource).locator(".age")
                await see(age, re.compile("^(now|[0-9] s ago)$"))
            await node.locator("summary").click()
            await see(row(page, "Weather on the roof", "version"), "2026.07")
            await see(row(page, "Rover", "imu"), "acc  304  488  448\ngyro  1  0  0")
            await see(row(page, "Rover", "position"), "48.7148, 2.2055")
            await see(row(page, "Not heard for long", "humidity"), "stale · 6 min")
            await see(card(page, "bare"), "Asking for its resources")


async def test_text_of_a_node_is_shown_as_text(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("__proto__", name=HOSTILE_NAME, text=HOSTILE_NAME, led=HOSTILE_NAME)
        broker.add_node("constructor", {"__proto__": "1", "<b>bold</b>": "2"})
        broker.add_node(HOSTILE_NAME, os="<script>alert(1)</script>")
        async with showing(browser, broker) as page:
            await see(card(page, HOSTILE_NAME).first, "__proto__")
            await see(row(page, HOSTILE_NAME, "text").locator(".value"), HOSTILE_NAME)
            await see(card(page, HOSTILE_NAME).last, "<script>alert(1)</script>")
            await see(row(page, "constructor", "<b>bold</b>"), "2")
            await see(row(page, "constructor", "__proto__"), "1")
            assert await page.locator("#nodes :is(img, b, script)").count() == 0
            await broker.leave("__proto__", "left")
            await see(card(page, HOSTILE_NAME).first, "left · out")


async def test_value_that_is_not_a_number_keeps_the_last_good_one(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", temperature="23.5°C")
        async with showing(browser, broker) as page:
            await see(row(page, "a", "temperature"), "23.5°C")
            await broker.change("a", "temperature", "--327.-6°C")
            await see(row(page, "a", "temperature"), "23.5°C")
            await see(row(page, "a", "temperature"), "unreadable: --327.-6°C")
            await broker.change("a", "temperature", "23.75°C")
            await see(row(page, "a", "temperature").locator(".age"), "now")


async def test_value_is_stale_after_two_minutes_and_fresh_when_said_again(
    browser: Browser,
) -> None:
    async with running() as broker:
        broker.add_node("a", age_s=118.5, temperature="23.5°C")
        async with showing(browser, broker) as page:
            age = row(page, "a", "temperature").locator(".age")
            await see(age, "1 min ago")
            await see(age, "stale · 2 min")
            await broker.change("a", "temperature", "23.5°C")
            await see(age, re.compile("^(now|[0-9] s ago)$"))


async def test_node_that_left_stays_a_minute_with_the_reason(browser: Browser) -> None:
    async with running() as broker:
        for uid in ("a", "b", "c"):
            broker.add_node(uid, temperature="23.5°C", led="0")
        async with showing(browser, broker, clock=True) as page:
            await broker.leave("a", "silent")
            await broker.leave("b", "gateway lost")
            await see(card(page, "a"), "silent · out")
            await see(card(page, "b"), "unknown: gateway lost")
            await see(page.locator("#pill"), "1 node ")
            await is_set(led(page, "a"), disabled="true")
            await page.clock.fast_forward(58_000)
            await see(card(page, "a"), "silent · out 5")
            await page.clock.fast_forward(5_000)
            await card(page, "a").wait_for(state="detached")
            await broker.say(*broker.add_node("b", temperature="20.0°C"))
            await see(row(page, "b", "temperature"), "20.0°C")


# -- commands -------------------------------------------------------------------------------


async def test_switch_moves_only_when_the_node_did(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", led="0")
        broker.answers["a", "led"] = "held"
        async with showing(browser, broker) as page:
            await led(page, "a").click()
            await see(row(page, "a", "led"), "asking for on")
            await is_set(led(page, "a"), checked="false", busy="true")
            await led(page, "a").click()  # one at a time
            [command] = broker.held
            assert command["payload"] == "1"
            await broker.say({"type": "receipt", "id": command["id"], "state": "confirmed"})
            await see(row(page, "a", "led"), "✓ confirmed")
            await is_set(led(page, "a"), checked="true", busy="false")
            await broker.change("a", "led", "0")  # the node's own word is worth more
            await is_set(led(page, "a"), checked="false")


async def test_refusal_and_silence_are_said_and_nothing_moves(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 8)
        async with showing(browser, broker) as page:
            await led(page, "Weather on the roof").click()
            await see(row(page, "Weather on the roof", "led"), "✓ confirmed in 12 ms")
            await is_set(led(page, "Weather on the roof"), checked="true")
            await led(page, "Says no").click()
            await see(row(page, "Says no", "led"), "✕ refused by the node: 4.00 Bad Request")
            await is_set(led(page, "Says no"), checked="true")
            await led(page, "Never answers").click()
            await see(row(page, "Never answers", "led"), "✕ no answer in 5 s")
            await is_set(led(page, "Never answers"), checked="false")


async def test_broker_that_forgets_a_receipt_is_not_waited_for(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", led="0")
        broker.answers["a", "led"] = "held"
        async with showing(browser, broker, clock=True) as page:
            await led(page, "a").click()
            await see(row(page, "a", "led"), "asking for on")
            await page.clock.fast_forward(9_000)
            await see(row(page, "a", "led"), "✕ no answer in 5 s")
            await is_set(led(page, "a"), checked="false", busy="false")


async def test_keyboard_operates_the_switch(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", led="0")
        async with showing(browser, broker) as page:
            await page.keyboard.press("Tab")
            focused = await page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert focused == "led of a"
            outline = await led(page, "a").evaluate("(e) => getComputedStyle(e).outlineStyle")
            assert outline == "solid"
            await page.keyboard.press("Space")
            await is_set(led(page, "a"), checked="true")
            await page.keyboard.press("Enter")
            await is_set(led(page, "a"), checked="false")
            assert [command["payload"] for command in broker.commands] == ["1", "0"]


# -- the link -------------------------------------------------------------------------------


async def test_lost_broker_freezes_the_page_and_comes_back(browser: Browser) -> None:
    async with running() as broker:
        broker.add_gateway()
        broker.add_node("a", temperature="23.5°C", led="0")
        broker.add_node("b", temperature="20.0°C")
        broker.answers["a", "led"] = "held"
        async with showing(browser, broker) as page:
            await led(page, "a").click()
            await see(row(page, "a", "led"), "asking")
            await broker.stop()
            await see(page.locator("#banner"), "Broker lost")
            await see(page.locator("#banner"), f"ws://127.0.0.1:{broker.port}/ws")
            await see(page.locator("#pill"), "Reconnecting in")
            await see(page.get_by_role("status"), "Broker lost.")
            await see(card(page, "a"), "frozen")
            await see(row(page, "a", "led"), "broker lost, outcome unknown")
            await see(row(page, "a", "temperature").locator(".age"), "at ")
            await is_set(led(page, "a"), disabled="true", checked="false")
            await led(page, "a").click(force=True)  # does nothing
            await see(page.locator("#gateways"), "coap · CoAP · unknown")
            del broker.nodes["b"]
            await broker.change("a", "temperature", "24.0°C")
            await broker.start()
            await page.get_by_role("button", name="Try now").click()
            await see(page.get_by_role("status"), re.compile("Back. Missed [0-9]+ s"))
            await see(row(page, "a", "temperature"), "24.0°C")
            await see(card(page, "b"), "left while the broker was lost")
            await is_set(led(page, "a"), disabled="false")
            assert len(broker.commands) == 1


async def test_page_comes_back_by_itself_after_a_dropped_connection(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", temperature="23.5°C")
        async with showing(browser, broker) as page:
            await broker.drop(1013, "outbox full")
            banner = page.locator("#banner-text")
            await see(banner, "This page did not read fast enough for the broker.")
            await see(banner, "It said: outbox full")
            await see(page.locator("#pill"), "Live")
            assert broker.joins == 2


async def test_quiet_broker_is_asked_and_a_dead_one_noticed(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("a", temperature="23.5°C")
        async with showing(browser, broker, clock=True) as page:
            broker.may_join.clear()
            await page.clock.fast_forward(50_000)
            await page.clock.run_for(15_000)
            await see(page.locator("#banner-text"), "Nothing was heard from the broker for")


async def test_page_lives_with_a_broker_of_the_old_kind(browser: Browser) -> None:
    async with running(legacy=True) as broker:
        broker.add_node("a", {"/led": "0"}, temperature="23.5°C", version="1.5")
        async with showing(browser, broker) as page:
            await see(row(page, "a", "temperature").locator(".unit"), "°C")
            await led(page, "a").click()
            await see(row(page, "a", "led"), "✓ confirmed")
            await is_set(led(page, "a"), checked="true")
            assert broker.commands == [{"uid": "a", "endpoint": "/led", "payload": "1"}]


# -- the eye --------------------------------------------------------------------------------


async def test_phone_never_scrolls_sideways(browser: Browser) -> None:
    fits = "document.documentElement.scrollWidth <= innerWidth"
    async with running() as broker:
        furnish(broker, 8)
        broker.add_gateway("a-gateway-with-the-longest-name-that-a-gateway-may-have-anywhere")
        wide = "W" * 64
        broker.add_node(wide, {wide: "1.5°C"}, name=wide * 9, board=wide, text=wide * 9)
        async with showing(browser, broker, **PHONE) as page:
            await card(page, "Weather on the roof").locator("summary").click()
            await see(row(page, "Weather on the roof", "ip"), "fe80")
            assert await page.evaluate(fits)
            await page.evaluate("scrollTo(0, document.body.scrollHeight)")
            await see(row(page, wide * 9, "text"), wide)
            assert await page.evaluate(fits)
            await broker.drop()
            await see(page.locator("#banner"), "Broker lost")
            assert await page.evaluate(fits)


async def test_values_build_no_cards_and_are_written_once_per_frame(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 60)
        async with showing(browser, broker) as page:
            await see(row(page, "Weather on the roof", "temperature"), "23.5°C")
            await page.evaluate("""() => {
                window.made = window.written = window.frames = 0;
                const watch = (count, options) => new MutationObserver((records) => {
                    window[count] += records.length;
                }).observe(document.getElementById('nodes'), {subtree: true, ...options});
                watch('made', {childList: true});
                watch('written', {characterData: true});
                const frame = () => { window.frames += 1; requestAnimationFrame(frame); };
                requestAnimationFrame(frame);
            }""")
            for value in range(1000):
                update = broker.nodes["5A0B38D71C9E2F4"]["temperature"]
                await broker.say(update | {"data": f"{value}.0°C", "value": value})
            await see(row(page, "Weather on the roof", "temperature"), "999.0°C")
            made, written, frames = await page.evaluate("[made, written, frames]")
            assert made == 0
            assert written < 1000
            # Digits and age in each frame, and the second's ages of all cards in sight.
            assert written <= 2 * frames + 200
