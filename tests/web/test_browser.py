# SPDX-License-Identifier: BSD-3-Clause
"""The browser of other tests: it reports what goes wrong in a page, and never waits for ever."""

import asyncio
from typing import Any

import pytest

from tests.web import conftest
from tests.web.conftest import Browser
from tests.web.mock_broker import MockBroker

pytestmark = pytest.mark.sockets


class Hanging:
    """A connection to a Chromium that no longer answers."""

    async def close(self) -> None:
        await asyncio.Event().wait()

    stop = close


def test_a_browser_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "CLOSE_LIMIT_S", 0.01)
    left: Any = Browser("http://127.0.0.1:1")
    left._chromium = left._playwright = Hanging()
    left.close()
    assert left._chromium is left._playwright is None


async def test_a_lost_broker_is_an_error_where_the_test_does_not_end_it(browser: Browser) -> None:
    with pytest.raises(AssertionError, match="ERR_CONNECTION_REFUSED"):
        await lose_broker(browser)
    await lose_broker(browser, loses_broker=True)


async def lose_broker(browser: Browser, **parts: Any) -> None:
    broker = MockBroker()
    await broker.start()
    async with browser.page(**parts) as page:
        await page.goto(broker.url)
        await broker.stop()
        await page.evaluate("fetch('/').catch(() => 0)")
