# SPDX-License-Identifier: BSD-3-Clause
"""The browser of other tests: it reports what goes wrong in a page, and never waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.web import conftest
from tests.web.conftest import Browser
from tests.web.mock_broker import MockBroker
from tests.web.sharing import Shared

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


async def test_a_shared_page_is_replaced_after_a_test_that_failed(browser: Browser) -> None:
    shared = Shared(browser, empty_page)
    async with shared.at("first") as (_, page):
        assert page.url.endswith("#/first")
    with pytest.raises(AssertionError, match="a script error"):
        await fail_at(shared, "second", page)
    async with shared.at() as (_, third):
        assert page.is_closed()
        assert not third.is_closed()
    await shared.close()
    assert third.is_closed()


async def test_a_shared_page_that_cannot_be_opened_fails_each_test(browser: Browser) -> None:
    @asynccontextmanager
    async def failing(_: Browser) -> AsyncIterator[tuple[None, Any]]:
        raise ValueError("no page")
        yield

    shared = Shared(browser, failing)
    for _ in range(2):
        with pytest.raises(ValueError, match="no page"):
            async with shared.at():
                pass


async def fail_at(shared: Shared[None], place: str, same: Any) -> None:
    async with shared.at(place) as (_, page):
        assert page is same
        await page.evaluate("console.error('a script error')")


@asynccontextmanager
async def empty_page(browser: Browser) -> AsyncIterator[tuple[None, Any]]:
    async with browser.page() as page:
        yield None, page


async def lose_broker(browser: Browser, **parts: Any) -> None:
    broker = MockBroker()
    await broker.start()
    async with browser.page(**parts) as page:
        await page.goto(broker.url)
        await broker.stop()
        await page.evaluate("fetch('/').catch(() => 0)")
