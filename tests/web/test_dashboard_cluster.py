# SPDX-License-Identifier: BSD-3-Clause
"""`aiot dashboard` with the brokers of a cluster, one of which is killed."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pyaiot.web.stored_files import load_built
from tests.coap_device import coap_device
from tests.programs import Program, Programs, free_port
from tests.web.conftest import Browser
from tests.web.test_dashboard_page import no_page, row, see

pytestmark = pytest.mark.sockets

BACK_LIMIT_MS: Final = 20_000.0


class System:
    """Two brokers with a nats-server, a gateway and a dashboard that know both."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._keys = programs.key_file()
        self._nats_port = free_port(socket.SOCK_STREAM)
        self._dashboard_port = free_port(socket.SOCK_STREAM)
        self.coap_port = free_port(socket.SOCK_DGRAM)
        nats = Path(sys.executable).with_name("nats-server")
        programs.start(nats, "-a", "127.0.0.1", "-p", str(self._nats_port))
        self.ports = [free_port(socket.SOCK_STREAM) for _ in range(2)]
        self.brokers = [self.start_broker(port) for port in self.ports]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        programs.aiot(
            *("coap-gateway", "--coap-port", str(self.coap_port), "--key-file", self._keys),
            *("--broker-host", hosts),
        ).startup_text()
        dashboard = programs.aiot(
            *("dashboard", "--web-port", str(self._dashboard_port), "--broker-host", hosts)
        )
        assert ", ".join(f"ws://127.0.0.1:{port}/ws" for port in self.ports) in dashboard.line()
        self.url = f"http://127.0.0.1:{self._dashboard_port}/"

    def start_broker(self, port: int) -> Program:
        broker = self._programs.aiot(
            *("broker", "--port", str(port), "--key-file", self._keys),
            *("--allowed-origin", f"http://127.0.0.1:{self._dashboard_port}"),
            *("--history", "off", "--registry", "off"),
            *("--cluster", f"nats://127.0.0.1:{self._nats_port}"),
            *("--cluster-broker", f"broker at {port}"),
        )
        broker.startup_text()
        return broker


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    if not load_built():
        no_page()
    programs = Programs(tmp_path_factory.mktemp("home"))
    yield System(programs)
    programs.close()


async def test_the_page_goes_to_the_next_broker_and_back(browser: Browser, system: System) -> None:
    async with coap_device(system.coap_port) as device, browser.page(loses_broker=True) as page:
        page.set_default_timeout(BACK_LIMIT_MS)
        await device.post("alive", b"alive:A")
        await device.post("server", b"temperature:20.5")
        await page.goto(system.url)
        digits = row(page, "A", "temperature").locator(".digits")
        await see(digits, "20.5")
        for number, text in enumerate(("21.5", "22.5")):
            system.brokers[number].kill()
            await page.locator(".banner.lost").wait_for()
            await page.locator(".banner.lost").wait_for(state="detached")
            await device.post("server", f"temperature:{text}")
            await see(digits, text)
            system.brokers[number] = system.start_broker(system.ports[number])
