# SPDX-License-Identifier: BSD-3-Clause
"""Controls by the type of a resource, and the editor of types, in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from pyaiot.messages import NodeAppeared, NodeDescribed, Reading
from pyaiot.model import ResourceType
from pyaiot.registry.record import Edit
from pyaiot.registry.resource_types import TypeEdit
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually
from tests.web.sharing import Shared, set_language, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import become_desktop, become_phone, card, has, row, see, until
from tests.web.test_dashboard_registry import broker_with, showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Houses: TypeAlias = "Shared[Served]"

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


HOUSES: Final = ("kinds", "limits", "people", "other", "reason", "text", "everybody")
"""A node for each test that changes one."""


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    """Nodes with a resource of each kind; they confirm every command by its new value."""
    async with broker_with() as broker:
        broker.gateway.otherwise = "confirmed"
        for uid in HOUSES:
            broker.gateway.link.send(NodeAppeared(uid=uid))
            broker.gateway.link.send(NodeDescribed(uid=uid, types=TYPES))
            for resource, text in VALUES.items():
                broker.gateway.send(uid, resource, text)
        await broker.known(HOUSES[-1])
        async with showing(browser, broker) as page:
            await until(
                page, f"document.querySelectorAll('#nodes > .card').length === {len(HOUSES)}"
            )
            yield broker, page


houses = shared_page(opened)


async def reached(broker: Served, payload: str) -> None:
    await eventually(lambda: bool(broker.gateway.commands))
    assert broker.gateway.commands.pop(0).payload == payload


async def test_each_kind_has_its_control_and_the_device_gets_its_own_word(houses: Houses) -> None:
    async with houses.at("nodes?q=kinds") as (broker, page):
        await see(row(page, "kinds", "relay"), "Off")
        await row(page, "kinds", "relay").get_by_role("switch").click()
        await reached(broker, "ON")
        slider = row(page, "kinds", "speed").get_by_role("slider")
        await has(slider, "max", "100")
        await slider.press("ArrowRight")
        await reached(broker, "45")
        await see(row(page, "kinds", "speed"), "40%")
        number = row(page, "kinds", "target").get_by_role("spinbutton")
        await number.fill("22.5")
        await number.press("Enter")
        await reached(broker, "22.5")
        await row(page, "kinds", "mode").get_by_role("combobox").select_option("<b>heat</b>")
        await reached(broker, "<b>heat</b>")
        await see(row(page, "kinds", "message"), "Message board")
        await row(page, "kinds", "message").get_by_role("textbox").fill("good morning")
        await row(page, "kinds", "message").get_by_role("button", name="Set").click()
        await reached(broker, "good morning")
        assert "unknown" not in await row(page, "kinds", "restart").inner_text()
        await row(page, "kinds", "restart").get_by_role("button").click()
        await reached(broker, "PRESS")
        colour = row(page, "kinds", "glow").locator("input")
        await has(colour, "type", "color")
        assert await colour.input_value() == "#ff8800"
        await colour.fill("#0000ff")
        await reached(broker, "0,0,255")
        await see(row(page, "kinds", "contact"), "open")
        assert await row(page, "kinds", "contact").get_by_role("switch").count() == 0


async def test_a_refused_value_shows_what_is_allowed(houses: Houses) -> None:
    async with houses.at("nodes?q=limits") as (_, page):
        number = row(page, "limits", "target").get_by_role("spinbutton")
        await number.evaluate("field => field.removeAttribute('min')")
        await number.fill("1")
        await number.press("Enter")
        await see(row(page, "limits", "target"), "a number of at least 5 Cel")


async def test_wrong_input_has_a_reason_in_the_language_of_the_page(houses: Houses) -> None:
    async with houses.at() as (_, page):
        await set_language(page, "de", "nodes?q=limits")
        field = row(page, "limits", "target").locator("input")
        for wrong in ("-3.5", "2"):
            await field.fill(wrong)
            await field.press("Enter")
            message = await field.evaluate("it => it.validationMessage")
            assert message == "Geben Sie 5 oder mehr ein."
        await field.fill("30")
        assert await field.evaluate("it => it.checkValidity()")
        await field.fill("")
        await set_language(page, "")


async def test_people_set_a_type_and_the_control_follows_at_once(houses: Houses) -> None:
    async with houses.at("node/people") as (broker, page):
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
        stated = broker.broker.router.registry.records["people"].annotations.types
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
        assert broker.broker.router.registry.records["people"].annotations.types == {}


async def test_an_edit_of_somebody_else_is_not_overwritten(houses: Houses) -> None:
    async with houses.at("node/other") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("Resource types").click()
        await dialog.get_by_label("Resource", exact=True).select_option("speed")
        await dialog.get_by_label("Maximum").fill("50")
        router = broker.broker.router
        other = Edit(types={"speed": TypeEdit(maximum=60)})
        broker.broker.people_edited(router.registry.edited("other", other))
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "Somebody edited the node meanwhile")
        assert router.registry.records["other"].annotations.types["speed"].maximum == 60
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "Saved.")
        assert router.registry.records["other"].annotations.types["speed"].maximum == 50


async def test_a_refused_type_shows_the_reason(houses: Houses) -> None:
    async with houses.at("node/reason") as (_, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("Resource types").click()
        await dialog.get_by_label("Resource", exact=True).select_option("speed")
        await dialog.get_by_label("Minimum").fill("9")
        await dialog.get_by_label("Maximum").fill("1")
        await dialog.get_by_role("button", name="Save").last.click()
        await see(dialog.locator(".types"), "the minimum is greater than the maximum")


async def test_controls_and_editor_are_for_everybody(houses: Houses) -> None:
    async with houses.at("nodes?q=everybody") as (_, page):
        await see(row(page, "everybody", "restart"), "Press")
        assert await violations_in_both(page) == []
        await page.goto(f"{page.url.partition('#')[0]}#/node/everybody")
        await page.get_by_role("dialog").get_by_text("Resource types").click()
        assert await violations_in_both(page) == []


async def test_controls_fit_on_a_phone(houses: Houses) -> None:
    async with houses.at("nodes?q=everybody") as (_, page):
        await become_phone(page)
        await see(card(page, "everybody"), "Message board")
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(width) == 0
        await become_desktop(page)


async def test_a_value_of_another_type_stays_as_text(houses: Houses) -> None:
    async with houses.at("nodes?q=text") as (broker, page):
        broker.gateway.link.send(Reading(uid="text", resource="relay", data="jammed"))
        await see(row(page, "text", "relay"), "jammed")
