# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard in a real browser, against a mock broker.

`Browser.page` fails a test for any script error and any violation of the policy.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.mock_broker import HOSTILE_NAME, MockBroker, furnish
from tests.web.sharing import Shared, shared_page

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

World: TypeAlias = "Shared[MockBroker]"

PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
AGE: Final = re.compile("^(now|[0-9]s ago)$")


def no_page() -> None:
    """Skips the test if the dashboard is not built; in CI, that is a failure."""
    assert os.environ.get("CI") != "true", "the dashboard is not built: scripts/page.py"
    pytest.skip("the dashboard is not built: scripts/page.py")


@asynccontextmanager
async def running(*, legacy: bool = False, look: Look | None = None) -> AsyncIterator[MockBroker]:
    built = load_built()
    if not built:
        no_page()
    broker = MockBroker(legacy=legacy, dashboard=Dashboard(look or Look(), built))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@asynccontextmanager
async def showing(
    browser: Browser, broker: MockBroker, place: str = "", *, clock: bool = False, **context: Any
) -> "AsyncIterator[Page]":
    """The page, live, at `#/place`. With `clock`, its time can be moved."""
    async with browser.page(**context) as page:
        if clock:
            await page.clock.install()
        await page.goto(f"{broker.url}#/{place}")
        await see(page.locator("#pill"), "Live")
        yield page


async def see(locator: "Locator", text: str | re.Pattern[str]) -> None:
    from playwright.async_api import expect

    await expect(locator).to_contain_text(text)


async def is_absent(locator: "Locator") -> None:
    from playwright.async_api import expect

    await expect(locator).to_have_count(0)


async def has(locator: "Locator", name: str, value: str) -> None:
    from playwright.async_api import expect

    await expect(locator).to_have_attribute(name, value)


async def has_value(field: "Locator", value: str) -> None:
    from playwright.async_api import expect

    await expect(field).to_have_value(value)


async def until(page: "Page", expression: str) -> None:
    """Wait until it is true. Waiting in Playwright needs `eval`, which the policy refuses."""
    for _ in range(750):
        if await page.evaluate(expression):
            return
        await page.wait_for_timeout(20)
    raise AssertionError(f"never came true: {expression}")


async def become_phone(page: "Page") -> None:
    """Give an open page the screen and the touch of `PHONE`."""
    await _set_screen(page, PHONE)


async def become_desktop(page: "Page") -> None:
    """Give it back the screen of a page that is opened without a `viewport`."""
    await _set_screen(page, {"viewport": {"width": 1280, "height": 720}, "has_touch": False})


async def _set_screen(page: "Page", context: dict[str, Any]) -> None:
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": context["has_touch"]})
    await page.set_viewport_size(context["viewport"])


def card(page: "Page", uid: str) -> "Locator":
    return page.locator(f'#nodes > [data-uid="{uid}"]')


def row(page: "Page", uid: str, resource: str) -> "Locator":
    return card(page, uid).locator(f'[data-resource="{resource}"]')


def imu(*acc: int) -> str:
    values = ",".join(map(str, acc))
    return f'[{{"type":"acc","values":[{values}]}},{{"type":"gyro","values":[0,0,0]}}]'


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[MockBroker, Page]]":
    """The usual nodes, and others for the tests that change them."""
    async with running() as broker:
        furnish(broker, 9)
        broker.add_node(HOSTILE_NAME, {"text": HOSTILE_NAME, "<b>x</b>": "1"})
        for uid in ("unreadable", "leaving"):
            broker.add_node(uid, temperature="12.5°C")
        broker.add_node("robot", robot="s", ribot="0:0:0\n")
        broker.add_node("paused", temperature="1.0°C")
        broker.add_node("updater", suit_state="6", dwnld="42", version="1.0", name="Updater")
        for uid in ("cube-a", "cube-b"):
            broker.add_node(uid, imu=imu(0, 0, 1000))
        async with showing(browser, broker) as page:
            yield broker, page


world = shared_page(opened)


# -- cards and values ------------------------------------------------------------------------------


async def test_each_value_has_unit_and_age_and_text_of_nodes_is_text(world: World) -> None:
    async with world.at("nodes") as (broker, page):
        await broker.change("5A0B38D71C9E2F4", "temperature", "23.5°C")
        weather = card(page, "5A0B38D71C9E2F4")
        await see(weather, "Weather on the roof")
        await see(row(page, "5A0B38D71C9E2F4", "temperature").locator(".value"), "23.5°C")
        await see(row(page, "5A0B38D71C9E2F4", "temperature").locator(".note"), AGE)
        await see(row(page, "old", "humidity").locator(".note"), "stale · 6m")
        await see(card(page, "__proto__"), HOSTILE_NAME)
        assert await page.locator("#nodes b").count() == 0
        assert await page.locator("#nodes img").count() == 0


async def test_unreadable_value_keeps_the_last_valid_one(world: World) -> None:
    async with world.at("nodes") as (broker, page):
        await broker.change("unreadable", "temperature", "--327.-6°C")
        await see(row(page, "unreadable", "temperature"), "unreadable: --327.-6°C")
        await see(row(page, "unreadable", "temperature").locator(".value"), "12.5")


async def test_empty_dashboard_explains_how_to_begin(browser: Browser) -> None:
    async with running() as broker, showing(browser, broker) as page:
        await see(page.locator("main"), "No gateway is connected")
        await broker.broadcast(broker.add_gateway())
        await see(page.locator("main"), "1 gateway connected and listening: coap.")
        await see(page.locator("main"), "aiot node coap --temperature --led")
        await broker.broadcast(*broker.add_node("a", temperature="20.0°C"))
        await see(card(page, "a"), "20.0")


async def test_states_of_a_node_are_shown_as_text(browser: Browser) -> None:
    async with running() as broker:
        for uid in ("a", "b", "quiet", "busy"):
            broker.add_node(uid, temperature="23.5°C", led="0")
        broker.add_node("bare", protocol="CoAP")
        async with showing(browser, broker, clock=True) as page:
            await see(card(page, "bare"), "Discovering resources")
            await broker.leave("a", "silent")
            await broker.leave("b", "gateway lost")
            await see(card(page, "a"), "Offline · ")
            await see(card(page, "b"), "Unknown: gateway lost")
            await page.clock.fast_forward(30_000)
            await see(card(page, "bare"), "No answer to discovery yet")
            # The dashboard probes a silent broker after 45 s, and learns the time from its answer.
            await broker.change("busy", "temperature", "24.0°C")
            await see(row(page, "busy", "temperature"), "24.0")
            await page.clock.fast_forward(20_000)
            await see(card(page, "quiet"), "quiet")
            await page.clock.fast_forward(12_000)
            await is_absent(card(page, "a"))
            await page.locator("#search").fill("state:left")
            await see(card(page, "a"), "Offline · ")
            assert "q=state" in page.url


async def test_reason_of_a_gateway_is_shown_as_it_wrote_it(world: World) -> None:
    async with world.at("nodes") as (broker, page):
        await see(card(page, "leaving"), "12.5")
        await broker.leave("leaving", "battery empty")
        chip = card(page, "leaving").locator(".chip")
        await see(chip, "Offline · ")
        await chip.hover()
        await see(page.locator("#tip"), "battery empty")
        await page.keyboard.press("a")
        await see(page.get_by_role("dialog"), re.compile(r"offline\s*· battery empty"))


# -- commands -------------------------------------------------------------------------------------


async def test_switch_moves_only_after_the_node_has_confirmed(world: World) -> None:
    async with world.at("nodes") as (broker, page):
        broker.held.clear()
        await broker.change("5A0B38D71C9E2F4", "led", "0")
        broker.answers["5A0B38D71C9E2F4", "led"] = "held"
        led = page.get_by_role("switch", name="LED of Weather on the roof")
        await led.click()
        await see(row(page, "5A0B38D71C9E2F4", "led"), "setting on")
        await has(led, "aria-checked", "false")
        [command] = broker.held
        await broker.broadcast({"type": "receipt", "id": command["id"], "state": "confirmed"})
        await see(row(page, "5A0B38D71C9E2F4", "led"), "confirmed")
        await has(led, "aria-checked", "true")
        await page.get_by_role("switch", name="LED of Refuses").click()
        await see(row(page, "refuses", "led"), "refused by the node · 4.00 Bad Request")
        await has(page.get_by_role("switch", name="LED of Refuses"), "aria-checked", "true")
        await page.get_by_role("switch", name="LED of Never answers").click()
        await see(row(page, "silent", "led"), "no answer in 5 s")


async def test_robot_moves_while_a_key_is_held_and_always_stops(world: World) -> None:
    async with world.at("nodes?q=robot") as (broker, page):
        broker.commands.clear()

        async def commands_are(*payloads: str) -> None:
            sent: list[str] = []
            for _ in range(100):
                sent = [command["payload"] for command in broker.commands]
                if sent == list(payloads):
                    break
                await page.wait_for_timeout(20)
            assert sent == list(payloads)
            broker.commands.clear()

        forward = page.get_by_role("button", name="Forward")
        await forward.hover()
        await page.mouse.down()
        await commands_are("u")
        await page.mouse.up()
        await commands_are("s")
        await forward.focus()
        await page.keyboard.down("ArrowLeft")
        await commands_are("l")
        await page.keyboard.press("Space")
        await commands_are("s")
        await page.keyboard.up("ArrowLeft")
        await page.mouse.down()
        await commands_are("u")
        await page.evaluate("dispatchEvent(new Event('blur'))")  # the window loses the focus
        await commands_are("s")
        await page.mouse.up()
        stick = page.locator(".stick")
        await stick.focus()
        await page.keyboard.down("ArrowUp")
        await commands_are("0:160:160\n")
        await page.keyboard.up("ArrowUp")
        await commands_are("0:0:0\n", "0:0:0\n")


async def test_robot_gets_stop_when_a_lost_broker_is_back(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("r", robot="s")
        async with showing(browser, broker, loses_broker=True) as page:
            await page.get_by_role("button", name="Forward").hover()
            await page.mouse.down()
            await see(row(page, "r", "robot"), "confirmed")
            await broker.drop()
            await see(page.locator(".banner"), "Broker lost")
            await see(page.locator("#pill"), "Live")
            await see(row(page, "r", "robot"), "confirmed")
            assert [command["payload"] for command in broker.commands] == ["u", "s"]
            await page.mouse.up()


# -- the link -------------------------------------------------------------------------------------


async def test_lost_broker_freezes_the_dashboard_until_it_is_back(browser: Browser) -> None:
    async with running() as broker:
        broker.add_gateway()
        broker.add_node("a", temperature="23.5°C", led="0")
        broker.add_node("b", temperature="20.0°C")
        async with showing(browser, broker, loses_broker=True) as page:
            await see(row(page, "a", "temperature"), "23.5")
            await broker.stop()
            await see(page.locator(".banner"), "It was shut down.")
            await see(page.locator(".banner"), f"ws://127.0.0.1:{broker.port}/ws")
            await see(page.locator(".banner"), re.compile("Next attempt in|Connecting"))
            await see(card(page, "a"), "Frozen")
            await see(row(page, "a", "temperature").locator(".note"), "at ")
            await has(page.get_by_role("switch"), "aria-disabled", "true")
            del broker.nodes["b"]
            await broker.start()
            # The page may have retried by itself; then it has no button.
            await page.evaluate("[...document.querySelectorAll('.banner button')].at(-1)?.click()")
            await see(page.locator(".banner"), re.compile(r"Reconnected. [0-9]+\ss of data"))
            await card(page, "b").locator(".chip").hover()
            await see(page.locator("#tip"), "went offline while the broker was lost")
            await has(page.get_by_role("switch"), "aria-disabled", "false")


async def test_unreachable_broker_is_shown_with_its_command(browser: Browser) -> None:
    async with running() as broker, browser.page(loses_broker=True) as page:
        await page.route_web_socket(re.compile("/ws$"), lambda socket: socket.close(code=1011))
        await page.goto(broker.url)
        await see(page.locator("main"), "The broker is unreachable")
        await see(page.locator("main"), "aiot run")
        await see(page.locator("main"), "/ws")


async def test_dashboard_works_with_a_legacy_broker(browser: Browser) -> None:
    async with running(legacy=True) as broker:
        broker.add_node("a", {"/led": "0"}, temperature="23.5°C", version="1.5")
        async with showing(browser, broker, loses_broker=True) as page:
            await see(row(page, "a", "temperature").locator(".unit"), "°C")
            await page.get_by_role("switch").click()
            await see(row(page, "a", "led"), "confirmed")
            assert broker.commands == [{"uid": "a", "endpoint": "/led", "payload": "1"}]
            await see(page.locator("footer"), "legacy protocol")


async def test_paused_dashboard_stands_still_and_catches_up(world: World) -> None:
    async with world.at("nodes") as (broker, page):
        await page.keyboard.press("p")
        await broker.change("paused", "temperature", "2.0°C")
        await see(page.locator("#pill"), "Paused · 1 message waiting")
        await see(row(page, "paused", "temperature").locator(".value"), "1.0")
        await page.get_by_role("button", name="Resume updates").click()
        await see(row(page, "paused", "temperature").locator(".value"), "2.0")


# -- screens --------------------------------------------------------------------------------------


async def test_search_and_filters_are_in_the_url(world: World) -> None:
    async with world.at("nodes?q=temp%3E19.5%20has%3Aled") as (_, page):
        await see(page.locator("#nodes"), "Weather on the roof")
        await is_absent(card(page, "refuses"))
        await page.keyboard.press("/")
        await page.keyboard.press("Escape")
        await see(page.locator("#nodes"), "Refuses")
        await page.get_by_role("button", name="Filters").click()
        await page.get_by_label(re.compile("^Resource")).select_option("imu")
        await is_absent(card(page, "refuses"))
        await see(page.locator("#nodes"), "Rover")
        assert await page.locator("#search").input_value() == "has:imu"
        await page.keyboard.press("Escape")
        await page.locator("#search").fill("nothing like it")
        await see(page.locator("main"), "No node matches")


async def test_details_have_a_url_charts_log_and_raw_messages(world: World) -> None:
    async with world.at("node/5A0B38D71C9E2F4") as (broker, page):
        broker.answers["5A0B38D71C9E2F4", "led"] = "confirmed"
        await broker.change("5A0B38D71C9E2F4", "led", "0")
        dialog = page.get_by_role("dialog")
        await see(dialog, "fe80::5a0b:38d7:1c9e:2f4")
        await see(dialog.locator(".chart").first, "Temperature")
        assert await dialog.locator(".chart canvas").count() == 3
        await dialog.get_by_role("switch").click()
        await see(dialog.locator(".log"), "confirmed · 12 ms")
        await dialog.locator("summary").click()
        await see(dialog.locator("pre"), '"endpoint":"led","data":"1"')
        async with page.expect_download() as download:
            await dialog.get_by_role("button", name="CSV").click()
        path = await (await download.value).path()
        text = path.read_text()
        assert "5A0B38D71C9E2F4,temperature,23.5,°C" in text
        await page.keyboard.press("Escape")
        await is_absent(dialog)
        assert page.url.endswith("#/nodes")
        await page.go_back()
        await see(dialog, "Weather on the roof")


async def test_script_is_edited_as_a_draft_and_sent(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("s", js="let a = 1;", name="Script box")
        broker.answers["s", "js"] = "refused"
        async with showing(browser, broker) as page:
            await page.get_by_role("button", name="Edit the script of Script box").click()
            dialog = page.get_by_role("dialog")
            editor = dialog.locator(".cm-content")
            await editor.click()
            await page.keyboard.press("Control+End")
            await page.keyboard.type("\nprint(a);")
            await see(dialog, "Draft.")
            await page.keyboard.press("Control+Enter")
            await see(dialog, "The node's answer: refused by the node · 4.00 Bad Request")
            await page.reload()
            await see(dialog.locator(".cm-content"), "print(a);")  # the draft is kept
            broker.answers["s", "js"] = "confirmed"
            await dialog.get_by_role("button", name="Send").click()
            await see(dialog, "Identical to the script on the node.")
            assert broker.commands[-1]["payload"] == "let a = 1;\nprint(a);"
            await dialog.locator(".cm-content").click()
            await page.keyboard.press("Escape")
            focused = await page.evaluate("document.activeElement.textContent")
            assert focused == "Send"


async def test_table_sorts_and_map_shows_nodes_with_a_position(world: World) -> None:
    async with world.at("table") as (_, page):
        await page.get_by_role("button", name="temperature").click()
        names = page.locator("tbody th a")
        await page.get_by_role("button", name="temperature").click()
        await see(names.first, "Weather on the roof")
        await page.keyboard.press("3")
        await see(page.locator(".map-screen aside"), "Rover")
        await page.locator(".map-screen aside button").hover()
        await see(page.locator(".leaflet-tooltip"), "Rover")


async def test_firmware_update_is_shown_step_by_step(world: World) -> None:
    async with world.at("updates") as (broker, page):
        update = page.locator(".updates li.card")
        await see(update, "Download 42 %")
        await broker.change("updater", "suit_state", "10")
        await see(update, "The image does not match the manifest.")
        await see(update, "The old firmware keeps running")
        await broker.change("updater", "suit_state", "11")
        await broker.change("updater", "version", "1.1")
        await see(update, "1.0 → 1.1")


async def test_settings_and_language_are_kept(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 3)
        async with showing(browser, broker, "settings") as page:
            await page.get_by_label("Dark").check()
            await page.get_by_label("Language").select_option("de")
            await see(page.locator("#pill"), "8 Knoten")
            await page.reload()
            await see(page.locator("#pill"), "8 Knoten")
            await has(page.locator("html"), "data-theme", "dark")
            await has(page.locator("html"), "lang", "de")
            await page.keyboard.press("1")
            await see(row(page, "5A0B38D71C9E2F4", "temperature").locator(".value"), "23,5")


async def test_image_of_an_unknown_host_is_named_and_not_loaded(browser: Browser) -> None:
    async with running(look=Look(webcam_hosts=("cam.example",))) as broker:
        broker.add_node("a", webcam="http://evil.example/x.png")
        broker.add_node("b", webcam="http://cam.example/x.png")
        requested: list[str] = []
        async with browser.page() as page:
            page.on("request", lambda request: requested.append(request.url))
            picture = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
            await page.route(
                "http://cam.example/**",
                lambda route: route.fulfill(body=picture, content_type="image/svg+xml"),
            )
            await page.goto(broker.url)
            await see(card(page, "a"), "--webcam-host evil.example")
            await until(page, "document.querySelector('img.picture')?.naturalWidth > 0")
        assert not any("evil.example" in url for url in requested)


async def test_part_that_two_cards_wait_for_is_shown_in_both(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("plain", temperature="20.0°C")
        for uid in ("cube-b", "cube-c"):
            broker.add_node(uid, imu=imu(0, 0, 1000))
        async with showing(browser, broker) as page:
            teapots = [card(page, uid).locator(".teapot-place") for uid in ("cube-b", "cube-c")]
            for teapot in teapots:
                await has(teapot, "role", "img")
            await page.evaluate("location.hash = '#/nodes?q=plain'")
            await see(card(page, "plain"), "20.0")
            # From here on the browser has the part in its cache, so that it is there for one card
            # before the other begins to wait for it.
            await page.reload()
            await see(card(page, "plain"), "20.0")
            await page.evaluate("location.hash = '#/nodes?q=cube'")
            for teapot in teapots:
                await has(teapot, "role", "img")


async def test_inertial_unit_turns_only_its_own_teapot(world: World) -> None:
    async with world.at("nodes?q=cube") as (broker, page):
        turned = "document.querySelector('[data-uid={}] .box')?.style.transform"
        await until(page, f"{turned.format('cube-a')} && {turned.format('cube-b')}")
        before = await page.evaluate(turned.format("cube-b"))
        await broker.change("cube-a", "imu", imu(0, 1000, 0))
        await until(page, f"{turned.format('cube-a')}.includes('1.57')")
        assert await page.evaluate(turned.format("cube-b")) == before
