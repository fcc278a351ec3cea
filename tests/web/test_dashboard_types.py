# SPDX-License-Identifier: BSD-3-Clause
"""Controls by the type of a resource, and the editor of types, in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from pyaiot.messages import NodeAppeared, NodeDescribed, Reading
from pyaiot.model import ResourceType
from pyaiot.registry.record import Edit
from pyaiot.registry.resource_types import TypeEdit
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import PHONE, card, has, row, see
from tests.web.test_dashboard_registry import broker_with, showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

TYPES: Final = {
    "relay": ResourceType(kind="boolean", on="ON", off="OFF", writable=True),
    "speed": ResourceType(
        kind="number", unit="/100", minimum=0, maximum=100, step=5, precision=0, writable=True
    ),
    "target": ResourceType(kind="number", unit="Cel", minimum=5, writable=True),
    "mode": ResourceType(kind="enum", choices=("auto", "<b>heat</b>", "off"), writable=True),
    "message": ResourceType(kind="text", maximum=20, writable=True, label="Message board"),
    "restart": ResourceType(kind="command", on="PRESS", writable=True),
    "glow": ResourceType(kind="colour", form="rgb", writable=True),
    "contact": ResourceType(kind="boolean", on="open", off="closed", writable=False),
}
VALUES: Final = {
    "relay": "OFF",
    "speed": "40",
    "target": "21",
    "mode": "auto",
    "message": "hello",
    "glow": "255,136,0",
    "contact": "open",
}


@asynccontextmanager
async def house(
    browser: Browser, place: str = "", **context: object
) -> AsyncIterator["tuple[Served, Page]"]:
    """One node with a resource of each kind; it confirms every command by its new value."""
    async with broker_with() as broker:
        broker.gateway.otherwise = "confirmed"
        broker.gateway.link.send(NodeAppeared(uid="n"))
        broker.gateway.link.send(NodeDescribed(uid="n", types=TYPES))
        for resource, text in VALUES.items():
            broker.gateway.send("n", resource, text)
        await broker.known("n")
        async with showing(browser, broker, place, **context) as page:
            yield broker, page


async def reached(broker: Served, payload: str) -> None:
    await eventually(lambda: bool(broker.gateway.commands))
    assert broker.gateway.commands.pop(0).payload == payload


async def test_each_kind_has_its_control_and_the_device_gets_its_own_word(browser: Browser) -> None:
    async with house(browser) as (broker, page):
        await see(row(page, "n", "relay"), "Off")
        await row(page, "n", "relay").get_by_role("switch").click()
        await reached(broker, "ON")
        slider = row(page, "n", "speed").get_by_role("slider")
        await has(slider, "max", "100")
        await slider.press("ArrowRight")
        await reached(broker, "45")
        await see(row(page, "n", "speed"), "40%")
        number = row(page, "n", "target").get_by_role("spinbutton")
        await number.fill("22.5")
        await number.press("Enter")
        await reached(broker, "22.5")
        await row(page, "n", "mode").get_by_role("combobox").select_option("<b>heat</b>")
        await reached(broker, "<b>heat</b>")
        await see(row(page, "n", "message"), "Message board")
        await row(page, "n", "message").get_by_role("textbox").fill("good morning")
        await row(page, "n", "message").get_by_role("button", name="Set").click()
        await reached(broker, "good morning")
        assert "unknown" not in await row(page, "n", "restart").inner_text()
        await row(page, "n", "restart").get_by_role("button").click()
        await reached(broker, "PRESS")
        colour = row(page, "n", "glow").locator("input")
        await has(colour, "type", "color")
        assert await colour.input_value() == "#ff8800"
        await colour.fill("#0000ff")
        await reached(broker, "0,0,255")
        await see(row(page, "n", "contact"), "open")
        assert await row(page, "n", "contact").get_by_role("switch").count() == 0


async def test_a_refused_value_shows_what_is_allowed(browser: Browser) -> None:
    async with house(browser) as (_, page):
        number = row(page, "n", "target").get_by_role("spinbutton")
        await number.evaluate("field => field.removeAttribute('min')")
        await number.fill("1")
        await number.press("Enter")
        await see(row(page, "n", "target"), "a number of at least 5 Cel")


async def test_people_set_a_type_and_the_control_follows_at_once(browser: Browser) -> None:
    async with house(browser, "node/n") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("Resource types").click()
        await dialog.get_by_label("Resource", exact=True).select_option("contact")
        kind = dialog.get_by_label("Kind", exact=True)
        await see(kind, "Automatic: On or off")
        await kind.select_option("enum")
        await dialog.get_by_label("Choices").fill("open, closed, jammed")
        await dialog.get_by_label("Display name").last.fill("Garage")
        await dialog.get_by_label("Commands", exact=True).select_option("Allowed")
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "Saved.")
        stated = broker.broker.router.registry.records["n"].annotations.types
        assert stated == {
            "contact": ResourceType(
                kind="enum",
                choices=("open", "closed", "jammed"),
                label="Garage",
                writable=True,
                source="people",
            )
        }
        contact = dialog.locator('.row[data-resource="contact"]')
        await see(contact, "Garage")
        await contact.get_by_role("combobox").select_option("jammed")
        await reached(broker, "jammed")
        await dialog.get_by_role("button", name="Remove these settings").click()
        await see(contact, "open")
        assert broker.broker.router.registry.records["n"].annotations.types == {}


async def test_an_edit_of_somebody_else_is_not_overwritten(browser: Browser) -> None:
    async with house(browser, "node/n") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("Resource types").click()
        await dialog.get_by_label("Resource", exact=True).select_option("speed")
        await dialog.get_by_label("Maximum").fill("50")
        router = broker.broker.router
        other = Edit(types={"speed": TypeEdit(maximum=60)})
        broker.broker.people_edited(router.registry.edited("n", other))
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "Somebody edited the node meanwhile")
        assert router.registry.records["n"].annotations.types["speed"].maximum == 60
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "Saved.")
        assert router.registry.records["n"].annotations.types["speed"].maximum == 50


async def test_a_refused_type_shows_the_reason(browser: Browser) -> None:
    async with house(browser, "node/n") as (_, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("Resource types").click()
        await dialog.get_by_label("Resource", exact=True).select_option("speed")
        await dialog.get_by_label("Minimum").fill("9")
        await dialog.get_by_label("Maximum").fill("1")
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "the minimum is greater than the maximum")


async def test_controls_and_editor_are_for_everybody(browser: Browser) -> None:
    async with house(browser) as (_, page):
        await see(row(page, "n", "restart"), "Press")
        assert await violations_in_both(page) == []
        await page.goto(f"{page.url.partition('#')[0]}#/node/n")
        await page.get_by_role("dialog").get_by_text("Resource types").click()
        assert await violations_in_both(page) == []


async def test_controls_fit_on_a_phone(browser: Browser) -> None:
    async with house(browser, **PHONE) as (_, page):
        await see(card(page, "n"), "Message board")
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(width) == 0


async def test_a_value_of_another_type_stays_as_text(browser: Browser) -> None:
    async with house(browser) as (broker, page):
        broker.gateway.link.send(Reading(uid="n", resource="relay", data="jammed"))
        await see(row(page, "n", "relay"), "jammed")
