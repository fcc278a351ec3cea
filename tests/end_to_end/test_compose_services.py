# SPDX-License-Identifier: BSD-3-Clause
"""The services of `deploy/compose/apart.yaml`, started with their own commands and variables.

There is no Docker here: they are processes of this machine, with mosquitto and PostgreSQL of this
machine. Names of services, ports and paths of volumes are replaced; nothing else is.
"""

import re
import socket
from typing import Any

import pytest
import yaml

from tests import clients
from tests.coap_device import coap_device
from tests.documents import ROOT
from tests.gateways.mqtt_servers import mosquitto
from tests.history.postgres_server import running_server
from tests.programs import Program, Programs, free_port

pytestmark = pytest.mark.sockets

SERVICES: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "compose" / "apart.yaml").read_text("utf-8")
)["services"]


class Stack:
    """`docker compose up`, with the names of services as addresses of loopback."""

    def __init__(self, programs: Programs, database: str) -> None:
        self._programs = programs
        self._database = database
        self.web_port = free_port(socket.SOCK_STREAM)
        self.mqtt_port = free_port(socket.SOCK_STREAM)
        # A container has all ports for itself; here they must be free.
        self._ports = {
            "AIOT_BROKER_PORT": str(self.web_port),
            "AIOT_GATEWAY_BROKER_PORT": str(self.web_port),
            "AIOT_COAP_PORT": "0",
            "AIOT_COAP_COAPS_PORT": "0",
            "AIOT_WEBSOCKET_PORT": "0",
            "AIOT_MQTTSN_PORT": "0",
        }

    def start(self, name: str) -> Program:
        """Start a service in its own folder, which stands for its volume."""
        service = SERVICES[name]
        home = self._programs.home / f"volume-{name}"
        home.mkdir(exist_ok=True)
        variables = {
            key: self._here(str(value)) for key, value in service.get("environment", {}).items()
        }
        variables |= {**self._ports, "STATE_DIRECTORY": str(home), "HOME": str(home)}
        variables.pop("AIOT_METRICS_PORT", None)
        command, *words = service["command"]
        words = [self._here(word) for word in words]
        words = [str(self.mqtt_port) if word == "1883" else word for word in words]
        return self._programs.aiot(command, *words, **variables)

    def _here(self, word: str) -> str:
        word = word.replace("postgresql://pyaiot@db/pyaiot", self._database)
        word = word.replace("/keys/keys", str(self._programs.home / "keys"))
        if word in {"broker", "mqtt"}:
            return "127.0.0.1"
        return "127.0.0.1" if word == "::" else word


async def test_every_service_of_the_file_starts_and_a_device_of_each_kind_appears(
    programs: Programs,
) -> None:
    with running_server() as database:
        stack = Stack(programs, database.url)
        programs.start(mosquitto(), "-p", str(stack.mqtt_port))
        assert stack.start("keys").exit_code(30.0) == 0
        started = {
            name: stack.start(name)
            for name, service in SERVICES.items()
            if service["image"] == "pyaiot" and name != "keys"
        }
        shown = {name: program.line(60.0) for name, program in started.items()}
        assert set(shown) == {
            *("broker", "coap-gateway", "ws-gateway", "mqtt-gateway", "mqttsn-gateway")
        }
        (coap_port,) = re.findall(r"UDP port (\d+)", shown["coap-gateway"])
        async with (
            clients.Broker(f"http://127.0.0.1:{stack.web_port}/") as broker,
            broker.client() as client,
            coap_device(int(coap_port)) as board,
        ):
            await board.post("alive", "alive:board-1")
            await client.shows("board-1", protocol="CoAP")
            node = programs.aiot(
                *("node", "mqtt", "--uid", "board-2", "--temperature"),
                *("--mqtt-port", str(stack.mqtt_port)),
            )
            assert node.line()
            await client.shows("board-2", protocol="MQTT")
