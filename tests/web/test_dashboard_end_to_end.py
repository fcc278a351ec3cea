# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard with a real broker, gateway and node, each a separate process."""

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from pyaiot.web.stored_files import load_built
from tests.coap_device import coap_device
from tests.programs import Program, Programs, free_port
from tests.web.conftest import Browser
from tests.web.test_dashboard_page import has, no_page, row, see, until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

UID: Final = "A1B2C3D4E5F6071"
BACK_LIMIT_MS: Final = 20_000.0
"""Time for gateway and page to reconnect to the broker."""


class System:
    """A broker that can be restarted, a gateway and a node."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._keys = programs.key_file()
        self.port = free_port(socket.SOCK_STREAM)
        self.dashboard_port = free_port(socket.SOCK_STREAM)
        self.coap_port = free_port(socket.SOCK_DGRAM)
        coap_port = str(self.coap_port)
        self.broker = self.start_broker()
        gateway = ("coap-gateway", "--coap-port", coap_port, "--broker-port", str(self.port))
        self.gateway = programs.aiot(*gateway, "--key-file", self._keys)
        self.gateway.line()
        node = ("node", "coap", "--uid", UID, "--name", "Desk lamp", "--led", "--temperature")
        programs.aiot(*node, "--gateway-port", coap_port, "--period-s", "1").line()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start_broker(self) -> Program:
        allowed = ("--allowed-origin", f"http://127.0.0.1:{self.dashboard_port}")
        broker = self._programs.aiot(
            *("broker", "--port", str(self.port), "--key-file", self._keys),
            *("--history", self._programs.home / "history.db", *allowed),
        )
        assert "Broker: http://" in broker.line()
        return broker

    def start_dashboard(self) -> str:
        """Start `aiot dashboard` for the broker. Returns its URL."""
        dashboard = self._programs.aiot(
            *("dashboard", "--web-port", str(self.dashboard_port)),
            *("--broker-port", str(self.port), "--title", "Far away"),
        )
        assert f"ws://localhost:{self.port}/ws" in dashboard.line()
        return f"http://127.0.0.1:{self.dashboard_port}/"


@contextmanager
def running_system(folders: pytest.TempPathFactory) -> Iterator[System]:
    if not load_built():
        no_page()
    programs = Programs(folders.mktemp("home"))
    try:
        yield System(programs)
    finally:
        programs.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """For the tests that end none of its processes."""
    with running_system(tmp_path_factory) as running:
        yield running


@pytest.fixture
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory) as running:
        yield running


def lamp(page: "Page") -> "Locator":
    return page.locator(f'[data-uid="{UID}"]')


async def test_restarted_broker_is_found(browser: Browser, own_system: System) -> None:
    async with browser.page(loses_broker=True) as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await page.goto(own_system.url)
        await see(lamp(page), "Desk lamp")
        switch = page.get_by_role("switch")
        await switch.click()
        await see(lamp(page), re.compile("confirmed · [0-9]+ ms"))
        await has(switch, "aria-checked", "true")
        own_system.broker.kill()
        await see(page.locator(".banner"), "Broker lost")
        await see(lamp(page), "Frozen")
        await has(switch, "aria-disabled", "true")
        own_system.broker = own_system.start_broker()
        await page.locator('.banner.back, [data-state="live"]').first.wait_for()
        await page.locator(f'[data-uid="{UID}"][data-state="live"]').wait_for()
        await switch.click()
        await has(switch, "aria-checked", "false")


async def test_offline_node_is_listed_after_a_restart(browser: Browser, own_system: System) -> None:
    async with browser.page() as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await page.goto(own_system.url)
        await see(lamp(page).locator('[data-resource="temperature"]'), "°C")
        own_system.gateway.kill()
        await see(lamp(page), "Unknown: gateway lost")
    own_system.broker.send(signal.SIGTERM)
    own_system.broker.exit_code(BACK_LIMIT_MS / 1000)
    own_system.broker = own_system.start_broker()
    async with browser.page() as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await page.goto(own_system.url)
        row_of_lamp = page.locator(f'.offline-row[data-uid="{UID}"]')
        await see(row_of_lamp, "Desk lamp")
        await see(row_of_lamp, "°C")
        await see(row_of_lamp, "offline for ")


async def test_charts_show_the_stored_history(browser: Browser, system: System) -> None:
    async with browser.page() as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await page.goto(f"{system.url}#/node/{UID}")
        dialog = page.get_by_role("dialog")
        await see(dialog, "From the stored history.")
        await dialog.get_by_text("Developer").click()
        await see(dialog, f"curl -X PUT -d 1 '{system.url}api/nodes/{UID}/resources/led'")


async def test_sparklines_begin_with_the_stored_history(browser: Browser, system: System) -> None:
    """The node is silent while the page is open, so the line is from the history."""
    async with coap_device(system.coap_port) as device, browser.page() as page:
        await device.post("alive", b"alive:quiet")
        for number in range(40):
            await device.post("server", b"temperature:%d.5" % (20 + number % 3))
        await page.goto(system.url)
        await see(row(page, "quiet", "temperature").locator(".digits"), "20.5")
        await until(
            page,
            """(() => {
                const row = document.querySelector('[data-uid=quiet] [data-resource=temperature]');
                const line = row.querySelector('.spark path')?.getAttribute('d') ?? '';
                return [...line.matchAll(/[ML](\\S+)/g)].some(([, x]) => Number(x) < 20);
            })()""",
        )


async def test_aiot_dashboard_connects_to_the_broker(browser: Browser, system: System) -> None:
    url = system.start_dashboard()
    async with browser.page() as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await page.goto(url)
        await see(page.locator("h1"), "Far away")
        await see(lamp(page), "Desk lamp")
        await page.get_by_role("switch").click()
        await see(lamp(page), "confirmed")
        # The history and the shown command are those of the broker.
        await page.goto(f"{url}#/node/{UID}")
        dialog = page.get_by_role("dialog")
        await see(dialog, "From the stored history.")
        await dialog.get_by_text("Developer").click()
        await see(dialog, f"curl -X PUT -d 1 '{system.url}api/nodes/{UID}/resources/led'")
