# SPDX-License-Identifier: BSD-3-Clause
"""`/api/docs` in a real browser: what a reader tries is sent to this broker."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.time_limits import time_limit
from tests.web.conftest import Browser
from tests.web.serving import Served, serving
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import PHONE, see

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Docs: TypeAlias = "Shared[Served]"


async def opened(page: Any, url: str, operation: str) -> Any:
    """The section of an operation with its form open."""
    if page.url.partition("#")[0] != f"{url}api/docs":
        await page.goto(f"{url}api/docs")
    section = page.locator(f"#{operation}")
    await section.locator("summary").click()
    return section


@asynccontextmanager
async def shown(browser: Browser) -> "AsyncIterator[tuple[Served, Page]]":
    async with serving() as served, browser.page() as page:
        yield served, page


docs = shared_page(shown)


async def test_an_answer_is_shown(docs: Docs) -> None:
    async with docs.at() as (served, page):
        served.gateway.send("é/x", "temperature", "21.5°C")
        await served.known("é/x")
        section = await opened(page, served.url, "node")
        await section.get_by_label("uid").fill("é/x")
        await page.keyboard.press("Enter")
        await see(section.locator("output"), "GET /api/nodes/%C3%A9%2Fx: 200 OK")
        await see(section.locator("pre"), '"uid": "é/x"')


async def test_a_refusal_is_shown_with_its_reason(docs: Docs) -> None:
    async with docs.at() as (served, page):
        section = await opened(page, served.url, "nodes")
        await section.get_by_label("limit").fill("-1")
        await section.get_by_role("button").click()
        await see(section.locator("output .failed"), "400 Bad Request")
        await see(section.locator("pre"), "bad-request")


async def test_a_stream_is_cut_off(browser: Browser) -> None:
    async with serving() as served, browser.page() as page:
        await page.clock.install()
        section = await opened(page, served.url, "stream")
        await section.get_by_role("button").click()
        output = section.locator("output")
        async with time_limit(20.0):
            # The time may be over before the beginning has arrived.
            while "the rest is not shown" not in (shown := await output.inner_text()):
                await page.clock.fast_forward(11_000)
                await section.get_by_role("button").click()
        assert "event: joined" in shown


async def test_page_is_accessible_and_fits_a_phone(browser: Browser) -> None:
    async with serving() as served, browser.page(**PHONE) as page:
        section = await opened(page, served.url, "nodes")
        await section.get_by_role("button").click()
        await section.locator("pre").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await violations_in_both(page) == []
