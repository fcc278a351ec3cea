# SPDX-License-Identifier: BSD-3-Clause
"""A broker and its open page that the tests of a module use one after the other.

A page load costs as much processor time as most tests that follow it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from tests.web.conftest import Browser

if TYPE_CHECKING:
    from playwright.async_api import Page

World = TypeVar("World")
DIALOGS_MAX = 3
"""Dialogs that may lie on each other."""


class Shared(Generic[World]):
    """Opens the broker and the page for the first test; after a test that failed, opens new ones.

    A test leaves the settings of the page as they were, and uses nodes of its own where it changes
    them.
    """

    def __init__(
        self,
        browser: Browser,
        opening: "Callable[[Browser], AbstractAsyncContextManager[tuple[World, Page]]]",
    ) -> None:
        self._browser = browser
        self._opening = opening
        self._open: tuple[World, Page] | None = None
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def at(self, place: str = "nodes") -> "AsyncIterator[tuple[World, Page]]":
        """The broker and the page at `#/place`, without dialogs and without focus,
        with the pointer at a corner.

        Script errors of the page fail the test that caused them.
        """
        world, page = await self._opened()
        try:
            await _bring_to(page, place)
            yield world, page
            self._browser.check(page)
        except BaseException:
            await self._forget()
            raise

    async def close(self) -> None:
        if self._task is not None:
            task, self._task, self._open = self._task, None, None
            self._ended.set()
            await task

    async def _opened(self) -> "tuple[World, Page]":
        if self._open is not None and self._open[1].is_closed():
            await self._forget()
        if self._open is None:
            self._ended = asyncio.Event()
            opened: asyncio.Future[tuple[World, Page]] = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._hold(opened, self._ended))
            either: tuple[asyncio.Future[Any], ...] = (opened, self._task)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                task, self._task = self._task, None
                await task
            self._open = opened.result()
        return self._open

    async def _hold(
        self, opened: "asyncio.Future[tuple[World, Page]]", ended: asyncio.Event
    ) -> None:
        """A task of its own enters and leaves the contexts: each test has another one."""
        async with self._opening(self._browser) as world_and_page:
            opened.set_result(world_and_page)
            await ended.wait()

    async def _forget(self) -> None:
        """Close them. What else was wrong with them is of the test that failed."""
        task, self._task, self._open = self._task, None, None
        self._ended.set()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)


async def _bring_to(page: "Page", place: str) -> None:
    for _ in range(DIALOGS_MAX):
        if not await page.evaluate("document.querySelector('dialog[open]') !== null"):
            break
        await page.keyboard.press("Escape")
    await page.mouse.move(0, 0)
    # The details of a node lie above the screen that was open before.
    for name in ("nodes", place) if place.startswith("node/") else (place,):
        await page.evaluate(
            """(hash) => {
                document.activeElement?.blur();
                location.hash = hash;
                scrollTo(0, 0);
            }""",
            f"#/{name}",
        )


async def set_language(page: "Page", language: str, place: str = "nodes") -> None:
    """Set the language of the page in its settings, then go to `#/place`.

    Empty: the language of the browser, which is English.
    """
    from playwright.async_api import expect

    await page.evaluate("location.hash = '#/settings'")
    await page.locator("select:has(option[value=de])").select_option(language)
    await expect(page.locator("html")).to_have_attribute("lang", language or "en")
    await page.evaluate("(hash) => { location.hash = hash; }", f"#/{place}")


def shared_page(
    opening: "Callable[[Browser], AbstractAsyncContextManager[tuple[World, Page]]]",
) -> Any:
    """A fixture for the tests of a module: what `opening` opens, as `Shared`."""

    @pytest.fixture(scope="module")
    def shared(browser: Browser) -> Iterator[Shared[World]]:
        opened = Shared(browser, opening)
        yield opened
        browser.runner.run(opened.close())

    return shared
