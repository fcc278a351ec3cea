# SPDX-License-Identifier: BSD-3-Clause
"""The form "Add a device" in a real browser, with a real broker and a real file of credentials."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.accounts.roles import Role
from pyaiot.accounts.store import AccountsFile, Invitation
from pyaiot.accounts.tokens import digest_of
from pyaiot.app.device_access import LocalDevices, digest_of_password
from pyaiot.config import Config, DevicesSection
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.sign_in import SignIn
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import Served, serving
from tests.web.sharing import Shared, set_language, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import (
    become_desktop,
    become_phone,
    is_absent,
    no_page,
    see,
)
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Devices: TypeAlias = "Shared[Site]"


@asynccontextmanager
async def with_devices(folder: Path, **parts: Any) -> AsyncIterator[Served]:
    built = load_built()
    if not built:
        no_page()
    config = Config(devices=DevicesSection(file=str(folder / "devices.db")))
    dashboard = Dashboard(Look(), built)
    async with serving(dashboard=dashboard, devices=LocalDevices(config), **parts) as served:
        yield served


@dataclass
class Site:
    """A broker with a file of its devices."""

    served: Served
    folder: Path


@asynccontextmanager
async def opened(browser: Browser) -> "AsyncIterator[tuple[Site, Page]]":
    with TemporaryDirectory() as folder:
        async with (
            with_devices(Path(folder)) as broker,
            showing(browser, broker) as page,
        ):
            yield Site(broker, Path(folder)), page


devices = shared_page(opened)


async def test_a_device_is_added_with_the_keyboard_and_named(devices: Devices) -> None:
    async with devices.at("settings") as (site, page):
        await page.get_by_role("button", name="Add a device…").press("Enter")
        dialog = page.get_by_role("dialog")
        await see(dialog, "letters, digits and . _ : - without spaces")
        await page.get_by_label("Name", exact=True).press_sequentially("lamp")
        await page.get_by_role("radio", name=re.compile("MQTT mqtt|^MQTT$")).press("Space")
        await page.get_by_label("Name", exact=True).press("Enter")
        await see(dialog, "The secret is shown only now")
        store = DeviceStore(site.folder / "devices.db")
        shown = await dialog.locator(".copy code").text_content() or ""
        assert [it.secret for it in store.credentials() if it.uid == "lamp"] == [
            digest_of_password(shown)
        ]
        await dialog.get_by_text("Connection details").press("Enter")
        await see(dialog, "Its client id and user name are lamp")
        await see(dialog, "Waiting for the device…")
        assert store.is_secured("lamp")
        await page.get_by_role("button", name="Shell", exact=True).press("Enter")
        await see(dialog.locator(".snippet"), "mosquitto_pub -t node/lamp/temperature")
        await page.get_by_role("button", name="MicroPython", exact=True).press("Enter")
        await see(dialog.locator(".snippet"), "from umqtt.simple import MQTTClient")
        site.served.gateway.send("lamp", "temperature", "21.5°C")
        await see(dialog, "The device is online. Give it a name:")
        await page.get_by_label("Display name").press_sequentially("Desk lamp")
        await page.get_by_label("Display name").press("Enter")
        await see(page.get_by_role("dialog"), "Desk lamp")
        assert site.served.broker.router.registry.records["lamp"].annotations.label == "Desk lamp"


async def test_a_name_that_is_taken_is_explained(devices: Devices) -> None:
    async with devices.at("settings") as (site, page):
        body = {"uid": "taken", "protocol": "mqtt"}
        async with site.served.web.post("/api/devices", json=body) as answer:
            assert answer.status == 201
        await page.get_by_role("button", name="Add a device…").click()
        await page.get_by_label("Name", exact=True).fill("all")
        await page.get_by_role("button", name="Add", exact=True).click()
        await see(page.get_by_role("alert"), "reserved: choose another name")


async def test_it_is_accessible_and_fits(devices: Devices) -> None:
    async with devices.at("settings") as (_, page):
        await become_phone(page)
        await page.get_by_role("button", name="Add a device…").click()
        await page.get_by_label("Name", exact=True).fill("shade")
        assert await violations_in_both(page) == []
        await become_desktop(page)
        assert await violations_in_both(page) == []
        await page.get_by_role("button", name="Add", exact=True).click()
        await see(page.get_by_role("dialog"), "Waiting for the device…")
        for become in (become_desktop, become_phone):
            await become(page)
            assert await violations_in_both(page) == []
            width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0
        await page.keyboard.press("Escape")
        await become_desktop(page)


@pytest.mark.parametrize(
    ("language", "words", "add", "details"),
    [
        ("fr", "Ajouter un appareil", "Ajouter", "Son identifiant de client"),
        ("de", "Gerät", "Hinzufügen", "Client-ID und Benutzername"),
    ],
)
async def test_it_is_in_the_language_of_the_page(
    devices: Devices, language: str, words: str, add: str, details: str
) -> None:
    async with devices.at("settings") as (_, page):
        await set_language(page, language, "settings")
        await page.get_by_role("button", name=re.compile(words)).click()
        dialog = page.get_by_role("dialog")
        await see(dialog.get_by_role("heading"), words)
        await dialog.locator("input[name=uid]").fill(f"lamp-{language}")
        await dialog.get_by_role("radio", name=re.compile("MQTT mqtt|^MQTT$")).check()
        await dialog.get_by_role("button", name=add, exact=True).click()
        await see(dialog.locator(".summary"), details)
        await page.keyboard.press("Escape")
        await set_language(page, "")


async def test_where_no_gateway_is_the_command_is_named(browser: Browser) -> None:
    built = load_built()
    if not built:
        no_page()
    async with serving(dashboard=Dashboard(Look(), built)) as broker, browser.page() as page:
        await page.goto(broker.url)
        await page.get_by_role("button", name="Add a device…").click()
        await see(page.get_by_role("dialog"), "aiot device add NAME")


@pytest.mark.parametrize(("role", "is_offered"), [("admin", True), ("operator", False)])
async def test_only_administrators_are_offered_it(
    browser: Browser, tmp_path: Path, role: Role, is_offered: bool
) -> None:
    accounts = AccountsFile(None)
    secret = "s" * 43
    accounts.add_invitation(Invitation(digest_of(secret), role, time.time() + 60), time.time())
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    async with with_devices(tmp_path, login=login) as broker, browser.page() as page:
        await page.goto(f"{broker.url}login?token={secret}")
        await page.get_by_role("button").first.click()
        await see(page.locator("#pill"), "Live")
        button = page.get_by_role("button", name="Add a device…")
        if is_offered:
            await see(button, "Add a device…")
        else:
            await see(page.get_by_role("heading", name="No nodes yet"), "No nodes yet")
            await is_absent(button)
