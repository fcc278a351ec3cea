# SPDX-License-Identifier: BSD-3-Clause
"""A real browser for the tests of the dashboard, started once; every page has a fresh profile."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

from tests.conftest import coroutine_of, run_on_real_clock
from tests.time_limits import time_limit

if TYPE_CHECKING:
    from playwright.async_api import Browser as PlaywrightBrowser
    from playwright.async_api import BrowserContext, Page, Playwright

CHROMIUM_NAMES = (
    *("chromium-headless-shell", "chrome-headless-shell"),
    *("chromium", "chromium-browser", "google-chrome"),
)
"""The headless shell is Chromium without a window. It takes less than half of the CPU per test."""
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
GUARD = ("sh", "-c", '"$@" & read -r _; kill -KILL 0', "sh")
"""Starts a program, and ends it with its processes when standard input ends: also when this process
is killed."""
START_LIMIT_S = 30.0
OPEN_LIMIT_S = 9.0
OPEN_ATTEMPTS = 3
CLOSE_LIMIT_S = 5.0
"""How long each part of the connection to Chromium may take to end."""
STEP_LIMIT_MS = 15_000.0
"""Time limit of one step of a test in a page, and of each expectation."""

# What Chromium itself reports. Some tests cause refused edits; its software renderer reports reads
# of drawn pictures.
KNOWN = (
    "GPU stall due to ReadPixels",
    *("status of 400 (Bad Request)", "status of 412 (Precondition Failed)"),
    *("status of 409 (Conflict)", "Service Worker registration blocked by Playwright"),
)
LOST_BROKER = (
    *("net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "WebSocket connection to"),
)

# Runs before the scripts of the page; its findings are collected below.
WATCH = """
document.addEventListener('securitypolicyviolation',
    (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Browser:
    """Opens pages, and checks for script errors and violations of the policy.

    Its connection takes a second to open and belongs to one event loop, in which the tests with
    pages run.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._playwright: Playwright | None = None
        self._chromium: PlaywrightBrowser | None = None
        self._wrong: WeakKeyDictionary[Page, tuple[list[str], tuple[str, ...]]] = (
            WeakKeyDictionary()
        )
        """What went wrong in open pages, and which words excuse it."""
        self.runner = asyncio.Runner()

    @asynccontextmanager
    async def page(
        self, *, loses_broker: bool = False, excused: tuple[str, ...] = (), **context: Any
    ) -> "AsyncIterator[Page]":
        """A page in a fresh profile. `context` as of Playwright's `new_context`.

        `loses_broker`: there is no broker, or it refuses or ends a connection of the page.
        `excused`: words of other errors that the page may report.
        """
        # Pages that keep files in the browser would answer requests that tests watch or change.
        profile, page = await self._open({"service_workers": "block"} | context)
        page.set_default_timeout(STEP_LIMIT_MS)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        self._wrong[page] = wrong, (*KNOWN, *excused, *(LOST_BROKER if loses_broker else ()))
        await page.add_init_script(WATCH)
        try:
            yield page
        finally:
            await self._close(profile)
        self.check(page)

    def check(self, page: "Page") -> None:
        """Fail if something went wrong in the page since the last check."""
        wrong, known = self._wrong[page]
        found = [text for text in wrong if not any(word in text for word in known)]
        wrong.clear()
        assert found == []

    async def _open(self, context: dict[str, Any]) -> "tuple[BrowserContext, Page]":
        """A new profile and its page.

        On a busy machine, Chromium sometimes does not answer a new connection; the next attempt
        succeeds.
        """
        for attempts_left in reversed(range(OPEN_ATTEMPTS)):
            try:
                async with time_limit(OPEN_LIMIT_S):
                    chromium = self._chromium or await self._connect()
                    profile = await chromium.new_context(**context)
                    return profile, await profile.new_page()
            except TimeoutError:
                await self._disconnect()
                if not attempts_left:
                    raise
        raise AssertionError("unreachable")

    async def _close(self, profile: "BrowserContext") -> None:
        """If Chromium does not answer, open a new connection for the next page."""
        try:
            async with time_limit(OPEN_LIMIT_S):
                await profile.close()
        except TimeoutError:
            await self._disconnect()
            raise

    async def _connect(self) -> "PlaywrightBrowser":
        from playwright.async_api import async_playwright, expect

        expect.set_options(timeout=STEP_LIMIT_MS)
        self._playwright = await async_playwright().start()
        self._chromium = await self._playwright.chromium.connect_over_cdp(self._endpoint)
        return self._chromium

    async def _disconnect(self) -> None:
        """A part that does not answer ends with this process."""
        chromium, self._chromium = self._chromium, None
        playwright, self._playwright = self._playwright, None
        for end in (chromium and chromium.close, playwright and playwright.stop):
            with suppress(TimeoutError):
                async with time_limit(CLOSE_LIMIT_S):
                    await (end() if end else asyncio.sleep(0))

    def close(self) -> None:
        self.runner.run(self._disconnect())
        self.runner.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests with pages run in the loop of the browser."""
    browser = pyfuncitem.funcargs.get("browser")
    if not isinstance(browser, Browser):
        return None
    run_on_real_clock(coroutine_of(pyfuncitem), browser.runner)
    return True


def chromium() -> str:
    """The program. Skips the test if it is missing."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("chromium is not installed")
    return program


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, driven by Playwright. Skips the test if one of them is missing."""
    with running_chromium(tmp_path_factory.mktemp("chromium"), "--disable-3d-apis") as opened:
        yield opened


@contextmanager
def running_chromium(profile: Path, *flags: str) -> Iterator[Browser]:
    """A separate Chromium, with more flags. Skips the test if it is missing."""
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    process = subprocess.Popen(
        [*GUARD, chromium(), *CHROMIUM_FLAGS, *flags, f"--user-data-dir={profile}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Its temporary files are deleted with the folders of the tests.
        env={**os.environ, "TMPDIR": str(profile)},
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        opened = Browser(f"http://127.0.0.1:{_debugging_port(profile, process)}")
        yield opened
        opened.close()
    finally:
        process.stdin.close()
        process.wait()


def _debugging_port(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    """The port that Chromium chose and wrote to its profile."""
    note = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if note.exists() and (lines := note.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.02)
    pytest.fail(f"chromium did not start in {START_LIMIT_S:.0f} s")
