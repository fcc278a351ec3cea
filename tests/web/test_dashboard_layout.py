# SPDX-License-Identifier: BSD-3-Clause
"""Order and position of nodes on the dashboard, and the gap of a hidden card, in a real browser."""

import random
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from tests.time_limits import time_limit
from tests.web.conftest import Browser
from tests.web.mock_broker import MockBroker, furnish, update
from tests.web.serving import eventually
from tests.web.sharing import Shared, set_language, shared_page
from tests.web.test_dashboard_page import (
    become_phone,
    card,
    has,
    is_absent,
    row,
    running,
    see,
    showing,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

World: TypeAlias = "Shared[MockBroker]"

WIDE: Final[dict[str, Any]] = {"viewport": {"width": 1440, "height": 900}}


def numbered(broker: MockBroker, seed: int) -> None:
    """Twelve nodes, in their own order."""
    numbers = list(range(1, 12))
    random.Random(seed).shuffle(numbers)
    broker.nodes.clear()
    for number in numbers:
        broker.add_node(f"uid-{number % 5}-{number}", name=f"Node {number}", temperature="20.0°C")
    broker.add_node("uid-10", temperature="20.0°C")
    broker.add_node("uid-9", temperature="20.0°C")
    broker.add_node("same-2", name="Node 2", temperature="20.0°C")


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[MockBroker, Page]]":
    async with running() as broker:
        furnish(broker, 9)
        broker.add_node("f", suit_state="0", version="1.0", name="Updater", age_s=20)
        async with showing(browser, broker) as page:
            yield broker, page


@asynccontextmanager
async def opened_with_many(browser: Browser) -> "AsyncIterator[tuple[MockBroker, Page]]":
    async with running() as broker:
        mixed(broker, 120)
        async with showing(browser, broker, **WIDE) as page:
            yield broker, page


usual = shared_page(opened)
many = shared_page(opened_with_many)

ORDER: Final = [
    *("Node 1", "Node 2", "Node 2"),
    *(f"Node {number}" for number in range(3, 12)),
    *("uid-9", "uid-10"),
]


LATE: Final = {"led": "0", "name": "Node 0.5", "os": "riot", "board": "native"}


async def has_names(page: "Page", selector: str, names: list[str]) -> None:
    """Wait until the elements have exactly these texts, in this order."""
    from playwright.async_api import expect

    await expect(page.locator(selector)).to_have_text(names)


async def test_cards_have_the_same_natural_order_at_each_load(browser: Browser) -> None:
    async with running() as broker:
        numbered(broker, 1)
        async with showing(browser, broker) as page:
            await see(page.locator("#nodes"), "uid-10")
            await has_names(page, "#nodes h3", ORDER)
            numbered(broker, 2)
            await page.reload()
            await see(page.locator("#nodes"), "uid-10")
            await has_names(page, "#nodes h3", ORDER)
            uids = await page.locator("#nodes > .card").evaluate_all(
                "(cards) => cards.map((card) => card.dataset.uid)"
            )
            assert uids[1:3] == ["same-2", "uid-2-2"]
            # A name that arrives later moves the card to its place.
            await broker.change("uid-9", "name", "Node 0")
            await see(page.locator("#nodes h3").first, "Node 0")
            new = {"type": "new", "uid": "late", "ts": time.time(), "gateway": "coap"}
            values = [update("late", name, value) for name, value in LATE.items()]
            await broker.broadcast(new)
            await see(card(page, "late"), "Discovering")
            await broker.broadcast(*values)
            await see(page.locator("#nodes h3").nth(1), "Node 0.5")
            await see(card(page, "late").locator(".line"), "riot · native")
            await page.get_by_role("switch", name="LED of Node 0.5").wait_for()


async def test_table_sorts_naturally_and_keeps_missing_values_last(browser: Browser) -> None:
    async with running() as broker:
        numbered(broker, 3)
        broker.add_node("bare", name="Node 2.5", led="on")
        async with showing(browser, broker, "table") as page:
            order = [*ORDER[:3], "Node 2.5", *ORDER[3:]]
            await has_names(page, "tbody th a", order)
            await page.locator("thead button").first.click()
            await has_names(page, "tbody th a", order[::-1])
            for _ in range(2):
                await page.locator("thead").get_by_role("button", name="temperature").click()
                await see(page.locator("tbody th a").last, "Node 2.5")


async def test_time_online_is_the_brokers_also_if_a_value_comes_first(browser: Browser) -> None:
    since = time.time() - 7200 - 754
    async with running() as broker:
        broker.add_node("a", temperature="20.0°C")
        broker.since["a"] = since
        broker.may_join.clear()
        async with browser.page(locale="en-GB") as page:
            await page.goto(f"{broker.url}#/node/a")
            async with time_limit(15):
                await eventually(lambda: broker.joins)
            await broker.change("a", "temperature", "21.0°C")
            await broker.change("a", "temperature", "22.0°C")
            broker.may_join.set()
            await see(page.get_by_role("dialog"), "22.0")
            shown = page.locator(".facts div").filter(has_text="Online since")
            await see(shown, datetime.fromtimestamp(since, UTC).strftime("%H:%M:%S")[3:])


# -- the places of cards ---------------------------------------------------------------------------

BOXES: Final = """() => [...document.querySelectorAll("#nodes > li")].map((card) => {
    const {left, top, right, bottom} = card.getBoundingClientRect();
    return {left, top, right, bottom, name: card.querySelector("h3")?.textContent ?? ""};
})"""


def overlaps(boxes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (a["name"], b["name"])
        for at, a in enumerate(boxes)
        for b in boxes[at + 1 :]
        if min(a["right"], b["right"]) - max(a["left"], b["left"]) > 1
        and min(a["bottom"], b["bottom"]) - max(a["top"], b["top"]) > 1
    ]


def holes(boxes: list[dict[str, Any]], most: float) -> list[tuple[str, float]]:
    """Room of more than `most` pixels between a card and the one below it."""
    found = []
    for box in boxes:
        below = [
            other["top"] - box["bottom"]
            for other in boxes
            if abs(other["left"] - box["left"]) < 1 and other["top"] >= box["bottom"] - 1
        ]
        if below and min(below) > most:
            found.append((box["name"], min(below)))
    return found


async def test_map_and_camera_cards_leave_their_neighbours_alone(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 12)
        async with showing(browser, broker, **WIDE) as page:
            await page.evaluate(
                "localStorage['pyaiot.map'] = localStorage['pyaiot.camera'] = 'true'"
            )
            await page.reload()
            await page.locator(".map-card .leaflet-tooltip").first.wait_for()
            await page.wait_for_timeout(300)
            assert overlaps(await page.evaluate(BOXES)) == []
            await become_phone(page)
            await page.reload()
            await page.locator(".map-card .leaflet-tooltip").first.wait_for()
            await page.wait_for_timeout(300)
            assert overlaps(await page.evaluate(BOXES)) == []


def mixed(broker: MockBroker, nodes: int) -> None:
    """Nodes of one to six values."""
    names = ("temperature", "humidity", "pressure", "illuminance", "eco2", "tvoc")
    for number in range(nodes):
        resources = dict.fromkeys(names[: 1 + number * 7 % 6], "20.0°C")
        broker.add_node(f"n{number:03}", resources, name=f"Node {number}")


async def test_cards_of_different_heights_leave_no_holes(browser: Browser) -> None:
    async with running() as broker:
        mixed(broker, 40)
        async with showing(browser, broker, **WIDE) as page:
            await no_holes_are_left(page)


async def test_many_cards_of_different_heights_leave_no_holes(many: World) -> None:
    async with many.at() as (_, page):
        await no_holes_are_left(page)


async def no_holes_are_left(page: "Page") -> None:
    await see(page.locator("#nodes"), "Node 39")
    for _ in range(2):
        await page.wait_for_timeout(400)
        boxes = [
            box for box in await page.evaluate(BOXES) if box["bottom"] > 0 and box["top"] < 900
        ]
        assert len(boxes) > 8
        assert holes(boxes, 24) == []
        assert overlaps(boxes) == []
        await page.evaluate("scrollTo(0, 2 * innerHeight)")


async def test_card_that_a_search_brings_near_goes_on_with_its_values(many: World) -> None:
    async with many.at() as (broker, page):
        await see(page.locator("#nodes"), "Node 39")
        await page.locator("#search").fill("n119")
        await see(row(page, "n119", "temperature").locator(".digits"), "20.0")
        await is_absent(card(page, "n039"))
        await broker.change("n119", "temperature", "21.0°C")
        await see(row(page, "n119", "temperature").locator(".digits"), "21.0")
        await page.locator("#search").fill("")
        await see(page.locator("#nodes"), "Node 39")
        await broker.change("n000", "temperature", "22.0°C")
        await see(row(page, "n000", "temperature").locator(".digits"), "22.0")


async def test_facts_of_far_cards_are_drawn_after_the_table_was_open(browser: Browser) -> None:
    """The style rules of table rows apply to them only."""
    async with running() as broker:
        furnish(broker, 30)
        async with showing(browser, broker, "table", **WIDE) as page:
            await see(page.locator("thead"), "Node")
            await page.keyboard.press("1")
            facts = card(page, "5A0B38D71C9E2F4").locator(".about .line")
            await see(facts, "riot")
            style = "(it) => getComputedStyle(it).contentVisibility"
            assert await facts.evaluate(style) == "visible"


# -- hiding ----------------------------------------------------------------------------------------


async def test_hidden_card_can_be_brought_back_at_once(usual: World) -> None:
    async with usual.at() as (_, page):
        rover = card(page, "rover")
        await rover.hover()
        await rover.get_by_role("button", name="Hide Rover").click()
        await is_absent(rover)
        toast = page.locator(".toast")
        await see(toast, "Rover is hidden.")
        await until(page, "document.activeElement.textContent === 'Undo'")
        await page.keyboard.press("Enter")
        await see(rover, "Rover")
        await is_absent(toast)


async def test_notice_of_a_hidden_card_ends_by_itself(browser: Browser) -> None:
    async with running() as broker:
        furnish(broker, 9)
        async with showing(browser, broker, clock=True) as page:
            await card(page, "rover").hover()
            await card(page, "rover").get_by_role("button", name="Hide Rover").click()
            await see(page.locator(".toast"), "Rover is hidden.")
            await page.locator("#search").focus()
            await page.clock.fast_forward(20_000)
            await is_absent(page.locator(".toast"))
            await is_absent(card(page, "rover"))


# -- texts and languages ---------------------------------------------------------------------------


async def test_keys_of_screens_work_while_a_checkbox_has_the_focus(usual: World) -> None:
    async with usual.at("settings") as (broker, page):
        await page.get_by_label("Show a camera card").focus()
        await page.keyboard.press("2")
        await see(page.locator("thead"), "Node")
        await page.goto(f"{broker.url}#/settings")
        await page.get_by_label("Dark").focus()
        await page.keyboard.press("1")
        await see(card(page, "rover"), "Rover")
        # Text keeps its keys.
        await page.locator("#search").fill("")
        await page.locator("#search").press("2")
        assert await page.locator("#search").input_value() == "2"


VALUE_AND_AGE_ARE_APART: Final = """(card) => {
    const box = (selector) => card.querySelector(selector).getBoundingClientRect();
    const [value, note] = [box(".value"), box(".note")];
    return [value.bottom <= note.top + 1 || note.bottom <= value.top + 1
        || note.left - value.right >= 6 || value.left - note.right >= 6,
        card.innerText];
}"""


async def test_age_of_an_idle_update_is_apart_from_its_text(usual: World) -> None:
    async with usual.at("updates") as (broker, page):
        for place, cards in (("updates", ".updates"), ("nodes", "#nodes")):
            await page.goto(f"{broker.url}#/{place}")
            update = page.locator(f"main {cards} .card:not(.skeleton)", has_text="Updater")
            await see(update, "No update in progress")
            found = await update.evaluate(VALUE_AND_AGE_ARE_APART)
            assert found[0]
            assert "progress2" not in found[1]


@pytest.mark.parametrize("first", ["map", "table"])
async def test_labels_of_the_map_have_the_theme_in_any_order_of_opening(
    browser: Browser, first: str
) -> None:
    async with running() as broker:
        furnish(broker, 9)
        async with showing(browser, broker, first, color_scheme="dark") as page:
            await page.wait_for_timeout(200)
            await page.goto(f"{broker.url}#/table")
            await see(page.locator("thead"), "Node")
            await page.goto(f"{broker.url}#/map")
            label = page.locator(".leaflet-tooltip").first
            await label.wait_for()
            for name, value in (
                ("background-color", "rgb(22, 28, 34)"),
                ("color", "rgb(233, 238, 243)"),
                ("border-top-color", "rgb(41, 50, 59)"),
            ):
                style = f"(it) => getComputedStyle(it).getPropertyValue('{name}')"
                assert await label.evaluate(style) == value, name
            arrow = "(it) => getComputedStyle(it, '::before').borderTopColor"
            assert await label.evaluate(arrow) == "rgb(22, 28, 34)"
            font = "(it) => getComputedStyle(it).fontFamily"
            assert await label.evaluate(font) == await page.locator("body").evaluate(font)


AGES: Final = {
    "": ("stale · 16m ago", "clock 10 min ahead"),
    "fr": ("périmé · il y a 16 min", "horloge en avance de 10 min"),
    "de": ("veraltet · vor 16 Min.", "Uhr geht 10 Min. vor"),
}


async def test_ages_are_words_also_of_a_clock_that_is_ahead(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node("old", temperature="20.0°C", age_s=16 * 60 + 5)
        broker.add_node("new", temperature="20.0°C", age_s=-10 * 60 - 20)
        async with showing(browser, broker) as page:
            for language, (past, ahead) in AGES.items():
                await set_language(page, language)
                await see(row(page, "old", "temperature").locator(".note"), past)
                await see(row(page, "new", "temperature").locator(".note"), ahead)
                await has(card(page, "new"), "data-state", "live")
                await until(page, "!document.body.innerText.includes('-10')")
                await until(page, "!document.body.innerText.includes('-16')")


HEADER_PROBLEMS: Final = """() => {
  const header = document.querySelector("#app > header");
  const boxes = [...header.children].map((it) => it.getBoundingClientRect());
  const parts = boxes.filter((it) => it.width);
  const overlaps = parts.slice(1).filter((it, at) => it.left < parts[at].right - 1);
  const tabs = [...header.querySelectorAll(".tabs.top a")].map((it) => it.clientHeight);
  const title = header.querySelector("h1");
  return [
    ...(overlaps.length ? ["parts overlap"] : []),
    ...(Math.max(...tabs) > 44 ? ["a tab has two lines"] : []),
    ...(title.scrollWidth > title.clientWidth + 1 ? ["the title is cut"] : []),
    ...(header.querySelector(".search").clientWidth < 120 ? ["no room to search"] : []),
    ...(document.documentElement.scrollWidth > innerWidth ? ["the page scrolls sideways"] : []),
  ];
}"""


async def test_parts_of_the_header_have_room_at_every_width(browser: Browser) -> None:
    """Also in French, whose words are the longest."""
    async with (
        running() as broker,
        browser.page(locale="fr-FR", **WIDE) as page,
    ):
        await page.goto(broker.url)
        await has(page.locator("#pill"), "data-how", "live")
        found = {}
        for width in (861, 1000, 1100, 1270, 1366, 1450, 1570, 1900):
            await page.set_viewport_size({"width": width, "height": 700})
            found[width] = await page.evaluate(HEADER_PROBLEMS)
        assert not {width: it for width, it in found.items() if it}
