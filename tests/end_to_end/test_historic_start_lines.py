# SPDX-License-Identifier: BSD-3-Clause
"""Start lines of the older system run unchanged: those of a Makefile, and a line of a unit.

`tests/earlier/Makefile` has them in the words that installations use: flags with underscores,
`=True`, empty values, `--broker-host` of the broker. make itself runs them, with free ports.
"""

import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests import clients
from tests.coap_device import coap_device
from tests.documents import ROOT
from tests.programs import Program, Programs, free_port

EARLIER = ROOT / "tests" / "earlier"
PORTS = {
    "BROKER_PORT": socket.SOCK_STREAM,
    "COAP_PORT": socket.SOCK_DGRAM,
    "WS_PORT": socket.SOCK_STREAM,
    "MQTT_PORT": socket.SOCK_STREAM,
    "WEB_PORT": socket.SOCK_STREAM,
}

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


@dataclass
class Installation:
    """The home of the older system, whose commands are in the search path."""

    programs: Programs
    ports: dict[str, int]

    def make(self, target: str) -> Program:
        """Start what a target of the Makefile starts."""
        chosen = [f"{name}={port}" for name, port in self.ports.items()]
        words = ["make", "--silent", "-f", str(EARLIER / "Makefile"), *chosen, target]
        return self.programs.start(*words, PATH=self._path())

    def start(self, line: str) -> Program:
        """Start the line of a unit."""
        return self.programs.start(*shlex.split(line), PATH=self._path())

    def _path(self) -> str:
        return f"{Path(sys.executable).parent}:{self.programs.environment()['PATH']}"


@pytest.fixture
def installation(programs: Programs) -> Installation:
    made = Installation(programs, {name: free_port(kind) for name, kind in PORTS.items()})
    keys = made.make("setup-keys")
    assert keys.exit_code(20.0) == 0, keys.stderr
    return made


async def test_lines_of_a_makefile_carry_values_and_serve_the_page(
    installation: Installation,
) -> None:
    ports = installation.ports
    broker = installation.make("run-broker")
    assert broker.line().startswith("Broker: http://")
    assert "--broker-host is ignored" in broker.stderr
    started = [
        installation.make(target)
        for target in (
            *("run-coap-gateway", "run-websocket-gateway", "run-mqtt-gateway"),
            "run-dashboard",
        )
    ]
    for program in started:
        assert program.line(), program.stderr
    assert "--map-api-key is ignored" in started[-1].stderr
    async with (
        clients.Broker(f"http://localhost:{ports['BROKER_PORT']}/") as service,
        service.legacy_client() as page,
        coap_device(ports["COAP_PORT"]) as board,
    ):
        await board.post("alive", "alive:old-board")
        await board.post("server", "temperature:21.5°C")
        await page.until('"endpoint":"temperature"', '"data":"21.5°C"')
    async with (
        aiohttp.ClientSession() as web,
        web.get(f"http://localhost:{ports['WEB_PORT']}/") as answer,
    ):
        assert answer.status == 200
        assert "<title>" in await answer.text()


async def test_line_of_a_unit_starts_a_gateway(installation: Installation) -> None:
    unit = (EARLIER / "aiot-coap-gateway.service").read_text("utf-8")
    (line,) = [it.partition("=")[2] for it in unit.splitlines() if it.startswith("ExecStart=")]
    line = line.removeprefix("/usr/local/bin/")
    line = line.replace("/etc/aiot/keys", str(installation.programs.home / ".pyaiot" / "keys"))
    line = line.replace("8000", str(installation.ports["BROKER_PORT"]))
    installation.make("run-broker").line()
    port = installation.ports["COAP_PORT"]
    gateway = installation.start(f"{line} --coap-port={port}")
    assert f"UDP port {port}" in gateway.line()
