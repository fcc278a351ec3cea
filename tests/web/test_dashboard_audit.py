# SPDX-License-Identifier: BSD-3-Clause
"""The audit log in a real browser: its rows, filters and pages, for administrators only."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pyaiot.audit.entry import AuditEntry
from pyaiot.audit.files import AuditFiles
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.time_limits import time_limit
from tests.web.conftest import Browser
from tests.web.serving import Served, serving
from tests.web.sharing import Shared, set_language, shared_page
from tests.web.test_dashboard_account import Guarded
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import (
    become_desktop,
    become_phone,
    has_value,
    is_absent,
    no_page,
    see,
)

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from pyaiot.accounts.roles import Role

pytestmark = pytest.mark.sockets

Log: TypeAlias = "Shared[Served]"

HOSTILE = "<img src=x onerror=alert(1)>"


def some_entries(now: float) -> Iterator[AuditEntry]:
    """Entries of a day, the newest last."""
    for n in range(250):
        yield AuditEntry(
            ts=now - 3600 - 250 + n,
            action="command",
            who="token:script",
            address="192.0.2.9",
            result="confirmed",
            uids=(f"board-{n}",),
            resource="led",
        )
    yield AuditEntry(
        ts=now - 60,
        action="sign-in",
        who="anonymous",
        address="203.0.113.5",
        result="refused",
        detail="an unknown name",
        suppressed=1200,
    )
    yield AuditEntry(
        ts=now - 50,
        action="edit",
        who="user:ada",
        address="192.0.2.7",
        result="ok",
        uids=("A",),
        detail="label, notes",
    )
    yield AuditEntry(
        ts=now - 40,
        action="command",
        who="user:ada",
        address="192.0.2.7",
        result="timeout",
        uids=(HOSTILE,),
        resource="led",
    )


@asynccontextmanager
async def with_audit(folder: Path, **parts: Any) -> AsyncIterator[Served]:
    built = load_built()
    if not built:
        no_page()
    files = AuditFiles(folder / "audit", bytes_max=30_000_000, days=0)
    files.append(some_entries(time.time()))
    async with serving(dashboard=Dashboard(Look(), built), audit=files, **parts) as served:
        yield served


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    with TemporaryDirectory() as folder:
        async with with_audit(Path(folder)) as broker:
            broker.gateway.send("A", "led", "0")
            await broker.known("A")
            async with browser.page() as page:
                await page.goto(broker.url)
                await see(page.locator("#pill"), "Live")
                yield broker, page


log = shared_page(opened)


async def has_rows(rows: "Locator", count: int) -> None:
    from playwright.async_api import expect

    await expect(rows).to_have_count(count)


async def test_administrator_sees_who_did_what_and_filters_it(
    browser: Browser, tmp_path: Path
) -> None:
    it = Guarded()
    async with with_audit(tmp_path, login=it.sign_in) as broker, browser.page() as page:
        await it.open(page, broker, "admin")
        await page.get_by_role("button", name="Account").click()
        await page.get_by_role("link", name="Audit log…").press("Enter")
        rows = page.locator(".audit-list > li")
        await see(rows.first, "Sign-in")  # of this test
        await see(rows.nth(1), "ada")
        await see(rows.nth(1), "192.0.2.7")
        await see(rows.nth(1), "no answer")
        assert HOSTILE in (await rows.nth(1).locator("a").text_content() or "")
        await see(rows.nth(2), "Node edited")
        await see(rows.nth(2), "name, notes")
        await see(rows.nth(3), "1,200 more refused attempts")
        await page.get_by_label("Result").select_option("refused")
        await has_rows(rows, 1)
        await see(rows.first, "203.0.113.5")
        await page.get_by_role("button", name="Clear filters").click()
        await page.get_by_label("Who").press_sequentially("ada")
        await has_rows(rows, 2)
        await page.get_by_label("Action").select_option("command")
        await has_rows(rows, 1)
        await page.get_by_label("Action").select_option("invite")
        await see(page.locator(".audit"), "No entry.")


async def test_older_entries_are_read_when_the_end_comes_near(log: Log) -> None:
    async with log.at("audit") as (_, page):
        rows = page.locator(".audit-list > li")
        await see(rows.first, "ada")
        assert await rows.count() <= 100
        end = page.locator(".audit-end")
        async with time_limit(30.0):
            while await rows.count() < 253:
                if await end.count():  # not while a part is read
                    await end.scroll_into_view_if_needed()
                await page.wait_for_timeout(20)
        await has_rows(rows, 253)
        await see(rows.last, "board-0")


async def test_audit_log_of_a_node_opens_from_its_details(log: Log) -> None:
    async with log.at("node/A") as (_, page):
        await page.get_by_role("dialog").get_by_role("button", name="Audit log…").click()
        rows = page.locator(".audit-list > li")
        await has_rows(rows, 1)
        await see(rows.first, "Node edited")
        await rows.first.get_by_role("button", name="ada").click()
        await has_value(page.get_by_label("Who"), "user:ada")
        await page.get_by_role("button", name="Clear filters").click()
        await see(rows.nth(2), "1,200 more refused attempts")


async def test_who_is_no_administrator_is_offered_no_audit_log(
    browser: Browser, tmp_path: Path
) -> None:
    roles: tuple[Role, ...] = ("viewer", "operator")
    for role in roles:
        it = Guarded()
        async with with_audit(tmp_path, login=it.sign_in) as broker, browser.page() as page:
            await it.open(page, broker, role)
            await page.get_by_role("button", name="Account").click()
            await page.get_by_role("dialog").get_by_text(role).first.wait_for()
            await is_absent(page.get_by_role("link", name="Audit log…"))
            await page.goto(broker.url + "#/audit")
            await see(page.locator("main"), "Only administrators see the audit log.")


async def test_audit_log_is_accessible_and_fits_a_phone(log: Log) -> None:
    """In the languages with the longest words."""
    async with log.at() as (_, page):
        await page.emulate_media(reduced_motion="reduce")
        await become_phone(page)
        for language in ("fr", "de"):
            await set_language(page, language, "audit")
            await see(page.locator("h2"), "udit")
            await see(page.locator(".audit-list > li").first, "ada")
            assert await page.locator(".audit-list > li").count() > 20
            assert await violations_in_both(page) == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await set_language(page, "")
        await become_desktop(page)
