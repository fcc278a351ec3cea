# SPDX-License-Identifier: BSD-3-Clause
"""An MQTT node, from its publication to a client of the broker, through our commands."""

import socket
from pathlib import Path

import pytest

from tests.clients import Broker
from tests.gateways.mqtt_servers import server
from tests.gateways.test_mqtt_gateway import device
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


async def test_a_node_of_a_foreign_broker_reaches_a_client(
    programs: Programs, tmp_path: Path
) -> None:
    keys = ("--key-file", programs.key_file())
    port = str(free_port(socket.SOCK_STREAM))
    with server("nats", tmp_path) as nats:
        nats.start()
        programs.aiot("broker", "--port", port, *keys).line()
        gateway = programs.aiot(
            *("mqtt-gateway", "--mqtt-port", str(nats.port), "--broker-port", port), *keys
        )
        assert gateway.line().startswith("MQTT gateway: MQTT broker localhost port")
        async with (
            device(nats.port, "fipy-1"),
            Broker(f"http://127.0.0.1:{port}/") as broker,
            broker.client() as client,
        ):
            async with time_limit(15):
                await client.shows("fipy-1", temperature="23.5°C", protocol="MQTT")
                receipt = await client.write("fipy-1", "led", "1")
            assert receipt["state"] == "confirmed", receipt
