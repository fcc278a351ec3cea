# SPDX-License-Identifier: BSD-3-Clause
"""Extreme numbers, long digits, long names and invisible characters, in a real browser."""

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from tests.time_limits import time_limit
from tests.web.conftest import Browser
from tests.web.mock_broker import MockBroker
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_page import (
    become_desktop,
    become_phone,
    card,
    row,
    running,
    see,
    showing,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

Extremes: TypeAlias = "Shared[MockBroker]"

DRAWN_LIMIT_S: Final = 20.0
DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1440, "height": 900}}
EXTREME: Final = {
    "large": ["1e+20"],
    "tiny": ["1e-300", "2e-300"],
    "subnormal": ["5e-324", "0"],
    "both-ends": ["-1e+308", "1e+308"],
    "constant": ["1e+308", "1e+308", "1e+308"],
    "long-integer": ["9007199254740991", "-9007199254740991"],
    "narrow": ["1e+17", "1e+17"],
}
CONTROLS: Final = "".join(
    map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])
)
"""All characters that change the direction of text."""
LONG_NAME: Final = "The weather station on the roof of the old observatory beside the river " * 3


async def painted(page: "Page", selector: str) -> int:
    """Number of pixels of a canvas that are not empty."""
    count: int = await page.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const {width, height} = canvas;
            if (!width || !height) return 0;
            const copy = new OffscreenCanvas(width, height).getContext("2d");
            copy.drawImage(canvas, 0, 0);
            const {data} = copy.getImageData(0, 0, width, height);
            let painted = 0;
            for (let at = 3; at < data.length; at += 4) painted += data[at] > 0 ? 1 : 0;
            return painted;
        }""",
        selector,
    )
    return count


async def line_pixels(page: "Page", selector: str) -> int:
    """Number of pixels of a canvas in the colour of lines."""
    count: int = await page.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const {width, height} = canvas;
            const copy = new OffscreenCanvas(width, height).getContext("2d");
            const root = getComputedStyle(document.documentElement);
            const hex = root.getPropertyValue("--spark").trim().slice(1);
            const line = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)).concat(255);
            copy.drawImage(canvas, 0, 0);
            const {data} = copy.getImageData(0, 0, width, height);
            let found = 0;
            for (let at = 0; at < data.length; at += 4)
                if ([0, 1, 2, 3].every((part) => Math.abs(data[at + part] - line[part]) < 40))
                    found += 1;
            return found;
        }""",
        selector,
    )
    return count


LINE_IS_INSIDE: Final = """[...document.querySelectorAll('LINE')].some((line) => {
    const {y, height} = line.getBBox(), room = line.ownerSVGElement.viewBox.baseVal.height;
    return line.getAttribute('d') && 0 <= y && y + height <= room;
})"""


SCRIPT: Final = "let a = '\u202e';"
LONG_DIGITS: Final = {
    "temperature": "123456789012345678.25°C",
    "pressure": "0.1234567890123456789012hPa",
    "humidity": "-12.34567890123456789%",
    "serial": "1234567890123456789012",
    "counter": "123456789012345678",
}


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[MockBroker, Page]]":
    """A huge vector, long digits, and a script with a character of direction."""
    vectors = [{"type": "acc", "values": [1e308, -1e308, 5e-324]}]
    async with running() as broker:
        broker.add_node("v", imu=json.dumps(vectors))
        broker.add_node("d", LONG_DIGITS, name="Digits")
        broker.add_node("s", js=SCRIPT, name="Script box")
        async with showing(browser, broker, **DESKTOP) as page:
            yield broker, page


extremes = shared_page(opened)


async def test_every_finite_number_draws(browser: Browser) -> None:
    """In the chart of a node and in its sparkline: each node has one row of `EXTREME`."""
    async with running() as broker:
        for uid, numbers in EXTREME.items():
            broker.add_node(uid, temperature=f"{numbers[0]}°C")
        async with showing(browser, broker) as page:
            for uid, numbers in EXTREME.items():
                await page.goto(f"{broker.url}#/node/{uid}")
                await see(page.get_by_role("dialog"), uid)
                async with time_limit(DRAWN_LIMIT_S):
                    for number in numbers[1:]:
                        await broker.change(uid, "temperature", f"{number}°C")
                    chart = page.locator(".chart canvas")
                    await chart.wait_for()
                    for _ in range(100):
                        if await painted(page, ".chart canvas") > 200:
                            break
                        await page.wait_for_timeout(20)
                    assert await painted(page, ".chart canvas") > 200, uid
                    assert await line_pixels(page, ".chart canvas") > 5, uid
                await no_number_is_infinite(page)
                await page.goto(f"{broker.url}#/nodes")
                await see(card(page, uid), "Temperature")
                await card(page, uid).scroll_into_view_if_needed()
                await until(page, LINE_IS_INSIDE.replace("LINE", f"[data-uid={uid}] .spark path"))
                await no_number_is_infinite(page)


async def no_number_is_infinite(page: "Page") -> None:
    text = await page.locator("body").inner_text()
    assert not [word for word in ("Infinity", "NaN", "∞") if word in text]


async def test_huge_vectors_are_drawn_as_numbers(extremes: Extremes) -> None:
    async with extremes.at("nodes?q=v") as (_, page):
        values = row(page, "v", "imu").locator(".axes-values")
        await see(values, "1×10³⁰⁸  -1×10³⁰⁸  4.94×10⁻³²⁴")
        await values.hover()
        await see(page.locator("#tip"), "1e+308  -1e+308  5e-324")
        await until(page, LINE_IS_INSIDE.replace("LINE", ".imu .lines path"))
        assert "Infinity" not in await page.locator("body").inner_text()


TEXTS: Final = ("serial", "counter")
"""Integers that a double cannot represent are text."""


async def is_on_one_line(locator: "Locator") -> bool:
    fits: bool = await locator.evaluate(
        """(element) => {
            const range = document.createRange();
            range.selectNodeContents(element);
            const box = range.getBoundingClientRect();
            const card = element.closest(".card").getBoundingClientRect();
            const line = parseFloat(getComputedStyle(element).fontSize) * 2;
            return box.height < line && box.left >= card.left && box.right <= card.right;
        }"""
    )
    return fits


async def test_long_digits_stay_in_their_card_on_one_line(extremes: Extremes) -> None:
    async with extremes.at("nodes?q=digits") as (_, page):
        await digits_are_on_one_line(page)
        await become_phone(page)
        await digits_are_on_one_line(page)
        await become_desktop(page)


async def digits_are_on_one_line(page: "Page") -> None:
    for resource, digits in LONG_DIGITS.items():
        line = row(page, "d", resource)
        assert await is_on_one_line(line.locator(".value")), resource
        assert await is_on_one_line(line.locator(".name")), resource
        all_digits = digits.rstrip("°ChPa%")
        if resource in TEXTS:  # not a number: never in short form
            await see(line.locator(".value"), all_digits)
            continue
        short = line.locator(".digits")
        assert len(await short.inner_text()) <= 16
        await short.hover()
        await see(page.locator("#tip"), all_digits)
        await page.mouse.move(0, 0)
        await page.locator("#tip").wait_for(state="hidden")
        await short.focus()
        await see(page.locator("#tip"), all_digits)
        await page.keyboard.press("Escape")
        await page.locator("#tip").wait_for(state="hidden")


async def test_long_digits_of_the_table_are_short_with_all_digits_on_hover(
    extremes: Extremes,
) -> None:
    async with extremes.at("table") as (_, page):
        cell = page.locator("tbody td.numeric .value").filter(has_text="1.23457×10¹⁷")
        await cell.locator(".digits").hover()
        await see(page.locator("#tip"), "123456789012345678.25")


def obey_nothing(broker: MockBroker) -> None:
    """A node in which each text has all control characters of direction."""
    evil = f"a{CONTROLS}b"
    broker.add_gateway(f"g{CONTROLS}")
    broker.gateways["i"] = {
        "type": "ignored",
        "gateway": f"g{CONTROLS}",
        "count": 3,
        "topic": evil,
        "refused": 2,
        "refusal": evil,
    }
    broker.add_node(
        evil,
        {evil: "7.5°C", f"unit{CONTROLS}": f"5 {evil}"},
        name=evil,
        board=evil,
        os=evil,
        vendor=evil,
        version=evil,
        protocol=evil,
        ip=evil,
        text=evil * 3,
        led=evil,
        robot="s",
        ribot="0:0:0\n",
        webcam=f"http://{evil}/",
        js=f"let a = '{evil}';\nprint(a);",
        imu=json.dumps([{"type": evil, "values": [1, 2, 3]}]),
        position='{"lat":48.7,"lng":2.2}',
        suit_state="6",
        temperature="20.0°C",
    )
    broker.answers[evil, "led"] = "refused"


FIND_CONTROLS: Final = r"""() => {
    const wrong = /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/;
    const found = [];
    const look = (root) => {
        for (const element of root.querySelectorAll("*")) {
            if (element.shadowRoot) look(element.shadowRoot);
            for (const name of ["title", "aria-label", "alt", "placeholder", "data-tip"])
                if (wrong.test(element.getAttribute(name) ?? ""))
                    found.push(`${element.tagName} ${name}`);
            for (const child of element.childNodes)
                if (child.nodeType === 3 && wrong.test(child.data))
                    found.push(`${element.tagName} ${element.className}`);
        }
    };
    look(document);
    if (wrong.test(document.title)) found.push("title");
    return found;
}"""


async def test_control_characters_of_direction_are_shown_and_not_obeyed(browser: Browser) -> None:
    async with running() as broker:
        obey_nothing(broker)
        [uid] = broker.nodes
        async with showing(browser, broker) as page:
            page_card = page.locator("#nodes > .card")
            await see(page_card, "[U+202E]")
            await see(page_card, "[U+2066]")
            await broker.change(uid, "temperature", f"x{CONTROLS}y")
            await see(page_card, "unreadable: x[U+202A]")
            await page.get_by_role("switch").click()
            await see(page_card, "refused by the node")
            assert await page.evaluate(FIND_CONTROLS) == []
            await page_card.locator("h3 a").hover()
            assert await page.evaluate(FIND_CONTROLS) == []
            await page.get_by_role("button", name="Filters").click()
            await see(page.locator(".popover"), "a[U+202A]")
            assert await page.evaluate(FIND_CONTROLS) == [], "filters"
            await page.keyboard.press("Escape")
            await page_card.hover()
            await page.get_by_role("button", name="Hide").click()
            for place in ("table", "map", "updates", "settings", "nodes"):
                await page.goto(f"{broker.url}#/{place}")
                await page.wait_for_timeout(200)
                assert await page.evaluate(FIND_CONTROLS) == [], place
            await page.evaluate(
                "(uid) => { location.hash = '#/node/' + encodeURIComponent(uid); }", uid
            )
            dialog = page.get_by_role("dialog")
            await see(dialog, "Developer")
            await dialog.locator(".cm-content").wait_for()
            await dialog.locator("summary").click()
            await see(dialog.locator("pre"), "\\u202e")
            assert await page.evaluate(FIND_CONTROLS) == [], "details"
            await dialog.locator(".cm-content").click()
            await page.keyboard.press("Control+a")
            await page.keyboard.press("Delete")
            await dialog.locator(".cm-deletedChunk").first.wait_for()
            assert await page.evaluate(FIND_CONTROLS) == [], "differences"
            await page.keyboard.press("Escape")
            await page.keyboard.press("Escape")
            await page.keyboard.press("a")
            await see(page.get_by_role("dialog"), "[U+202A]")
            assert await page.evaluate(FIND_CONTROLS) == [], "activity"


async def test_script_keeps_its_control_characters_when_it_is_sent(extremes: Extremes) -> None:
    """Characters that are shown as marks are unchanged in the values."""
    async with extremes.at("node/s") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.locator(".cm-content").click()
        await page.keyboard.press("Control+End")
        await page.keyboard.type("\n1;")
        await page.keyboard.press("Control+Enter")
        await see(dialog, "Identical to the script on the node.")
        assert broker.commands[-1]["payload"] == f"{SCRIPT}\n1;"


async def test_long_name_ends_in_an_ellipsis_beside_its_badge(browser: Browser) -> None:
    async with running() as broker:
        for uid, name in (("long", LONG_NAME), ("wide", "W" * 90), ("short", "Roof")):
            broker.add_node(uid, name=name, temperature="20.0°C")
        async with showing(browser, broker, **DESKTOP) as page:
            await see(card(page, "short"), "Roof")
            await broker.broadcast(
                *[{"type": "out", "uid": uid, "reason": "gateway lost"} for uid in broker.nodes]
            )
            await names_are_cut_beside_their_badges(page)
            await become_phone(page)
            await page.mouse.move(0, 0)
            await names_are_cut_beside_their_badges(page)


async def names_are_cut_beside_their_badges(page: "Page") -> None:
    for uid in ("long", "wide", "short"):
        await see(card(page, uid).locator(".chip"), "Unknown: gateway lost")
        found = await card(page, uid).evaluate(
            """(card) => {
                const name = card.querySelector("h3"), chip = card.querySelector(".chip");
                const [a, b] = [name.getBoundingClientRect(), chip.getBoundingClientRect()];
                const style = getComputedStyle(name);
                return {
                    apart: a.right <= b.left + 0.5 || a.bottom <= b.top + 0.5,
                    ellipsis: style.textOverflow === "ellipsis",
                    width: a.width,
                    chip: chip.scrollWidth - chip.clientWidth,
                };
            }"""
        )
        assert found["apart"], uid
        assert found["ellipsis"], uid
        assert found["width"] > 120, uid
        assert found["chip"] <= 1, uid
    await card(page, "long").locator("h3 a").hover()
    await see(page.locator("#tip"), LONG_NAME.strip())
    await page.mouse.move(0, 0)
    await card(page, "wide").locator("h3 a").focus()
    await see(page.locator("#tip"), "W" * 90)
    await card(page, "short").locator("h3 a").focus()
    await see(page.locator("#tip"), "short")  # nothing of it is cut: the uid is new
