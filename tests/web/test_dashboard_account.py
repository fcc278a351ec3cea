# SPDX-License-Identifier: BSD-3-Clause
"""The account menu in a real browser: who am I, signing out, inviting, removing access."""

import re
import time
from typing import TYPE_CHECKING

import pytest

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile, User
from pyaiot.messages import Reading
from pyaiot.web.sign_in import SignIn
from tests.web.conftest import Browser
from tests.web.serving import Served
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import PHONE, card, is_absent, row
from tests.web.test_dashboard_registry import broker_with

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets


class Guarded:
    """Accounts and the sign-in of a broker."""

    def __init__(self, *, viewers: bool = False) -> None:
        self.accounts = AccountsFile(None)
        self.sign_in = SignIn(
            self.accounts, behind_tls=False, viewers=viewers, clock=time.monotonic
        )

    async def open(
        self,
        page: "Page",
        broker: Served,
        role: Role,
        scope: Scope = Scope(),  # noqa: B008 - frozen
    ) -> None:
        """Sign in with an invitation."""
        link = await self.sign_in.invite(role, life_s=60.0, scope=scope)
        await page.goto(broker.url.rstrip("/") + link)
        async with page.expect_navigation(url=broker.url):
            await page.get_by_role("button", name="Sign in").click()


def send_led(broker: Served) -> None:
    broker.gateway.link.send(Reading.received("A", "led", "1", time.time()))


async def test_administrator_invites_with_the_keyboard_and_removes_access(
    browser: Browser,
) -> None:
    it = Guarded()
    it.accounts.add_user(User("ada", "operator", "a hash", 0.0, Scope(tags=("lab",))))
    async with broker_with(login=it.sign_in) as broker, browser.page() as page:
        await it.open(page, broker, "admin")
        await page.get_by_role("button", name="Account").focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Account")
        await dialog.get_by_text("administrator").first.wait_for()
        await dialog.get_by_label("Role").select_option("operator")
        await dialog.get_by_label("Only nodes with one of these tags").fill("lab, roof")
        await page.keyboard.press("Enter")
        code = dialog.locator(".invitation code")
        await code.wait_for()
        link = await code.text_content() or ""
        assert re.fullmatch(re.escape(broker.url) + r"login\?token=[\w-]{43}", link)
        await dialog.get_by_role("img", name="QR code of the link").wait_for()
        async with browser.page() as phone:
            await phone.goto(link)
            async with phone.expect_navigation(url=broker.url):
                await phone.get_by_role("button", name="Sign in").click()
        assert {session.scope for session in it.accounts.sessions(time.time())} == {
            Scope(),
            Scope(tags=("lab", "roof")),
        }
        await dialog.get_by_text("operator · tags: lab").first.wait_for()
        await (
            dialog.get_by_role("button", name="Remove “ada”")
            .or_(dialog.get_by_role("button", name="Remove ada"))
            .click()
        )
        await is_absent(dialog.get_by_role("button", name="Remove ada"))
        assert it.accounts.users() == []
        await page.keyboard.press("Escape")
        await is_absent(dialog)


async def test_signing_out_ends_the_session(browser: Browser) -> None:
    it = Guarded()
    async with broker_with(login=it.sign_in) as broker, browser.page() as page:
        await it.open(page, broker, "viewer")
        await page.get_by_role("button", name="Account").click()
        dialog = page.get_by_role("dialog", name="Account")
        await is_absent(dialog.get_by_text("Invite somebody"))
        async with page.expect_navigation(url=broker.url + "login"):
            await dialog.get_by_role("button", name="Sign out", exact=True).click()
        assert it.accounts.sessions(time.time()) == []


async def test_viewer_sees_no_control_that_commands_and_operator_does(browser: Browser) -> None:
    roles: tuple[Role, ...] = ("viewer", "operator")
    for role in roles:
        it = Guarded()
        async with broker_with(login=it.sign_in) as broker, browser.page() as page:
            await it.open(page, broker, role)
            send_led(broker)
            await row(page, "A", "led").wait_for()
            switch = card(page, "A").get_by_role("switch")
            if role == "operator":
                await switch.wait_for()
            else:
                await is_absent(switch)


async def test_visitor_may_sign_in_and_loopback_has_no_account(browser: Browser) -> None:
    it = Guarded(viewers=True)
    async with broker_with(login=it.sign_in) as broker, browser.page() as page:
        await page.goto(broker.url)
        await page.get_by_role("button", name="Account").click()
        await page.get_by_text("Not signed in").wait_for()
        await page.get_by_role("link", name="Sign in").click()
        await page.wait_for_url(broker.url + "login")
    async with broker_with() as broker, browser.page() as page:
        await page.goto(broker.url)
        send_led(broker)
        await card(page, "A").get_by_role("switch").wait_for()
        await is_absent(page.get_by_role("button", name="Account"))


async def test_menu_is_accessible_and_fits_a_phone(browser: Browser) -> None:
    it = Guarded()
    it.accounts.add_user(User("ada", "operator", "a hash", 0.0, Scope(tags=("lab",))))
    async with (
        broker_with(login=it.sign_in) as broker,
        browser.page(**PHONE, reduced_motion="reduce") as page,
    ):
        await it.open(page, broker, "admin")
        await page.get_by_role("button", name="Menu", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Account").click()
        dialog = page.get_by_role("dialog", name="Account")
        await dialog.get_by_role("button", name="Create a link").click()
        await dialog.get_by_role("img", name="QR code of the link").wait_for()
        assert await violations_in_both(page) == []
        assert await dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
        # Its start and its end are visible: the dialog scrolls, and does not exceed the screen.
        assert await dialog.evaluate("it => it.getBoundingClientRect().top >= 0")
        assert await dialog.evaluate("it => it.getBoundingClientRect().bottom <= innerHeight")
        await dialog.get_by_role("button", name="Close").click()
        await is_absent(dialog)


CONTROLS = """() => [...document.querySelectorAll('button, input, select, textarea, [role=switch]')]
    .filter((it) => it.checkVisibility())
    .map((it) => it.ariaLabel || it.labels?.[0]?.textContent || it.textContent || it.type)"""
READS = re.compile(
    "Search|Filters|Pause updates|Alerts|Activity|Theme: .*|Settings|Account|Keys and .*|"
    "View: .*|All nodes|[0-9]+ online|Value.*|Group.*|Cards|List|Close|Back|Reset( all)?|"
    "(Move|Hide|Pin) (A|R)(: drag, or arrow keys)?|Node|Board|State|Last seen|LED|"
    "Temperature|Zoom (in|out)|Show all|test.*|Broker.*|This page.*|Uid, name.*|"
    "System|Light|Dark|Comfortable|Compact|Language.*|Show a (map|camera) card|"
    "Compare|CSV|PNG|Print|[0-9]+ (min|h|d)|Custom|Earlier|Later|Copy link|.*Hide card|"
    "Notify me in this browser|48[.].*"
)
"""Names of the controls that read, or change only what this browser shows."""


async def test_no_screen_offers_a_viewer_what_it_may_not_do(browser: Browser) -> None:
    it = Guarded()
    async with broker_with(login=it.sign_in) as broker, browser.page() as page:
        await it.open(page, broker, "viewer")
        send = broker.gateway.send
        for resource, text in (
            ("led", "1"),
            ("temperature", "20 °C"),
            ("note", "hello"),
            ("position", "48.7,2.2"),
        ):
            send("A", resource, text)
        for resource, text in (("robot", "s"), ("ribot", "s"), ("js", "print(1)")):
            send("R", resource, text)
        await row(page, "R", "js").wait_for()
        screens = {
            "#/nodes": ".card",
            "#/fleet": ".tile",
            "#/table": "tbody tr",
            "#/map": ".leaflet-container",
            "#/updates": "main h2",
            "#/path": ".path-map",
            "#/settings": "main select",
            "#/audit": "text=Only administrators see the audit log.",
            "#/node/A": ".chart canvas",
            "#/node/R": "dialog .rows",
            "#/node/A?value=led": "dialog.one .rows",
            "#/node/R?value=js": "dialog.one .rows",
        }
        for place, drawn in screens.items():
            await page.goto(broker.url + place)
            await page.locator(drawn).first.wait_for()
            await only_reads(page, place)
        await page.goto(broker.url + "#/nodes")
        await is_absent(page.get_by_role("dialog"))
        await page.keyboard.press("n")
        await page.get_by_role("dialog", name="Alerts").wait_for()
        await only_reads(page, "alerts")


async def only_reads(page: "Page", place: str) -> None:
    names = [" ".join(name.split()) for name in await page.evaluate(CONTROLS)]
    assert [name for name in names if not READS.fullmatch(name)] == [], place
    assert names
