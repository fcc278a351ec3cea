# SPDX-License-Identifier: BSD-3-Clause
"""A history that records nothing is reported to the people who can do something about it."""

import pytest

from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import serving
from tests.web.sharing import set_language
from tests.web.test_dashboard_account import Guarded
from tests.web.test_dashboard_for_everybody import violations
from tests.web.test_dashboard_page import become_desktop, become_phone, is_absent, no_page

pytestmark = pytest.mark.sockets

PROBLEM = "is paused: less than 100 MB are free on its disk (history.free_mb)"


class History:
    problem = ""

    async def check(self) -> str:
        return self.problem


async def test_problem_is_in_the_info_while_it_lasts() -> None:
    history = History()
    async with serving(checks={"history": history.check}) as broker:
        assert (await broker.json("/api/info"))["history_problem"] == ""
        history.problem = PROBLEM
        assert (await broker.json("/api/info"))["history_problem"] == PROBLEM
        assert "is paused" in str(await broker.json("/readyz", 503))


async def test_visitor_does_not_get_it() -> None:
    history = History()
    history.problem = PROBLEM
    it = Guarded(viewers=True)
    async with serving(checks={"history": history.check}, login=it.sign_in) as broker:
        info = await broker.json("/api/info")
        assert (info["access"], info["history_problem"]) == ("anonymous", "")


async def test_dashboard_shows_it(browser: Browser) -> None:
    built = load_built()
    if not built:
        no_page()
    history = History()
    history.problem = PROBLEM
    async with (
        serving(checks={"history": history.check}, dashboard=Dashboard(Look(), built)) as broker,
        browser.page() as page,
    ):
        await page.goto(broker.url)
        line = page.locator(".unrecorded")
        for language, words in (("", "Nothing is recorded"), ("de", "nichts"), ("fr", "Rien")):
            await set_language(page, language)
            await line.wait_for()
            text = await line.text_content() or ""
            assert words in text
            assert PROBLEM in text
            assert await violations(page) == []
            await become_phone(page)
            assert await line.is_visible()
            assert await violations(page) == []
            await become_desktop(page)


async def test_dashboard_shows_nothing_while_it_records(browser: Browser) -> None:
    built = load_built()
    if not built:
        no_page()
    async with (
        serving(checks={"history": History().check}, dashboard=Dashboard(Look(), built)) as broker,
        browser.page() as page,
    ):
        await page.goto(broker.url)
        await page.locator("#pill").wait_for()
        await is_absent(page.locator(".unrecorded"))
