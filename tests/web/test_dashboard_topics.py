# SPDX-License-Identifier: BSD-3-Clause
""" "Map topics" in a real browser, with a real broker and a real registry."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pyaiot.accounts.store import AccountsFile, Invitation
from pyaiot.accounts.tokens import digest_of
from pyaiot.messages import Ignored
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.sign_in import SignIn
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually, serving
from tests.web.sharing import Shared, set_language, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import (
    become_desktop,
    become_phone,
    is_absent,
    no_page,
    see,
)

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Ignoring: TypeAlias = "Shared[Served]"

TOPICS = ("farm/barn/level", "rtl_433/pi/events", "garden/shed/soil")


@asynccontextmanager
async def with_topics(**parts: Any) -> AsyncIterator[Served]:
    """A broker whose gateway ignored messages on three topics."""
    built = load_built()
    if not built:
        no_page()
    async with serving(dashboard=Dashboard(Look(), built), **parts) as served:
        served.gateway.link.send(Ignored(count=40, topic=TOPICS[-1], topics=TOPICS, ts=time.time()))
        await eventually(served.broker.router.gateways.ignored)
        yield served


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[Served, Page]]":
    async with with_topics() as broker, browser.page() as page:
        await page.goto(broker.url)
        await see(page.locator("#pill"), "Live")
        yield broker, page


ignored = shared_page(opened)


async def test_a_topic_that_nothing_understands_is_mapped_with_the_keyboard(
    ignored: Ignoring,
) -> None:
    async with ignored.at() as (broker, page):
        await page.get_by_role("button", name="Map topics…").press("Enter")
        dialog = page.get_by_role("dialog")
        await see(dialog, "rtl_433/pi/events")
        await dialog.get_by_role("button", name="Map garden/shed/soil").press("Enter")
        await dialog.get_by_label("Payload of a message").press_sequentially("41.5")
        tried = dialog.locator(".tried")
        await see(tried, "map-shed")
        await see(tried, "41.5")
        await dialog.get_by_label("Unit of soil").press_sequentially("%")
        await see(tried, "41.5 /")
        await dialog.get_by_label("Topic of commands").fill("{topic}/set")
        await dialog.get_by_role("button", name="Save").press("Enter")
        await see(dialog, "garden/{node}/{resource}")
        mapping = TopicMapping(
            topic="garden/{node}/{resource}", units={"soil": "%"}, command="{topic}/set"
        )
        await eventually(lambda: broker.gateway.mappings[-1] == (mapping,))
        await (
            dialog.get_by_role("button", name="Remove “garden")
            .or_(dialog.get_by_role("button", name="Remove"))
            .first.press("Enter")
        )
        await see(dialog, "No mapping yet")
        await eventually(lambda: broker.gateway.mappings[-1] == ())


async def test_json_is_recognised_and_a_level_becomes_what_people_choose(ignored: Ignoring) -> None:
    async with ignored.at() as (broker, page):
        await page.get_by_role("button", name="Map topics…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Map rtl_433/pi/events").click()
        await dialog.get_by_label("Payload of a message").fill('{"temp":4,"model":"X","id":7}')
        await see(dialog.locator(".tried"), "model")
        await dialog.get_by_label("The level pi").select_option("node")
        await dialog.get_by_label("The level events").select_option("fixed")
        await see(dialog.locator(".tried"), "map-pi")
        await dialog.get_by_label("Only these values").fill("temperature=$.temp")
        await see(dialog.locator(".tried"), "temperature")
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog, "rtl_433/{node}/events")
        (mapping,) = broker.mappings.saved().values()
        assert mapping == TopicMapping(
            topic="rtl_433/{node}/events", payload="json", fields={"temperature": "$.temp"}
        )
        await dialog.get_by_role("button", name="Remove").first.click()
        await see(dialog, "No mapping yet")


async def test_why_a_message_becomes_nothing_is_shown(ignored: Ignoring) -> None:
    async with ignored.at() as (_, page):
        await page.get_by_role("button", name="Map topics…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Map another topic").click()
        await dialog.get_by_label("Topic of a message").fill("node/x/y")
        await dialog.get_by_label("Payload of a message").fill("1")
        await see(dialog.locator(".tried"), "begins with a reserved level")
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog.get_by_role("alert"), "begins with a reserved level")


async def test_it_is_accessible_and_fits(ignored: Ignoring) -> None:
    async with ignored.at() as (_, page):
        await become_phone(page)
        await page.get_by_role("button", name="Map topics…").click()
        dialog = page.get_by_role("dialog")
        await see(dialog, "garden/shed/soil")
        assert await violations_in_both(page) == []
        await become_desktop(page)
        assert await violations_in_both(page) == []
        await dialog.get_by_role("button", name="Map rtl_433/pi/events").click()
        await dialog.get_by_label("Payload of a message").fill('{"temp":4,"model":"X"}')
        await see(dialog.locator(".tried"), "model")
        width = "document.documentElement.scrollWidth - innerWidth"
        for become in (become_desktop, become_phone):
            await become(page)
            assert await violations_in_both(page) == []
            assert await page.evaluate(width) <= 0
        await become_desktop(page)


@pytest.mark.parametrize(
    ("language", "button", "words"),
    [
        ("fr", "Associer des topics…", "Topics inconnus"),
        ("de", "Topics zuordnen …", "Unbekannte Topics"),
    ],
)
async def test_it_is_in_the_language_of_the_page(
    ignored: Ignoring, language: str, button: str, words: str
) -> None:
    async with ignored.at() as (_, page):
        await set_language(page, language)
        await page.get_by_role("button", name=button).click()
        await see(page.get_by_role("dialog"), words)
        await page.keyboard.press("Escape")
        await set_language(page, "")


async def test_only_administrators_are_offered_it(browser: Browser) -> None:
    accounts = AccountsFile(None)
    secret = "s" * 43
    invitation = Invitation(digest_of(secret), "operator", time.time() + 60)
    accounts.add_invitation(invitation, time.time())
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    async with with_topics(login=login) as broker, browser.page() as page:
        await page.goto(f"{broker.url}login?token={secret}")
        await page.get_by_role("button").first.click()
        await see(page.locator("p.ignored"), "garden/shed/soil")
        await is_absent(page.get_by_role("button", name="Map topics…"))
