# SPDX-License-Identifier: BSD-3-Clause
"""Attacks 8 and 13 by nodes of WebSocket and MQTT-SN, through everything that `aiot run` starts."""

import time

import aiohttp
import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.attacks.running import Log
from tests.attacks.test_clock_jumps import HOUR_S, Calendar
from tests.clients import Broker
from tests.coap_device import Reply, coap_device
from tests.gateways.mqtt_servers import nats_server
from tests.gateways.mqttsn_device import Device
from tests.running import running_everything

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


async def test_a_node_of_another_gateway_is_not_taken_over(log: Log) -> None:
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
        coap_device(running.coap_port) as device,
        aiohttp.ClientSession() as web,
    ):
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await device.post("alive", "alive:honest")
        await client.shows("honest", led="0")
        node = f"http://127.0.0.1:{running.ws_port}/node?uid="
        async with web.ws_connect(node + "honest") as odd, web.ws_connect(node + "good") as good:
            await odd.send_json({"type": "update", "data": {"led": "forged"}})
            await good.send_json({"type": "update", "data": {"led": "1"}})
            await client.shows("good", led="1", protocol="WebSocket")
        with Device(running.mqttsn_port) as odd_client:
            await odd_client.connects(b"odd")
            forged = await odd_client.registers(b"node/honest/led", 1)
            await odd_client.publishes(forged, b'{"value":"forged"}', 2)
            own = await odd_client.registers(b"node/odd/led", 3)
            await odd_client.publishes(own, b'{"value":"1"}', 4)
            await client.shows("odd", led="1", protocol="MQTT")
        assert client.nodes["honest"]["led"] == "0"
        assert client.nodes["honest"]["protocol"] == "CoAP"
        assert not [message for message in client.received if message.get("data") == "forged"]
        assert (await client.write("honest", "led", "1"))["state"] == "confirmed"
        assert not [m for m in client.received if m["type"] == "out" and m["uid"] == "honest"]
    refusals = [line for line in log.lines if "the broker refused" in line and "honest" in line]
    assert len({line.partition("the broker refused")[0] for line in refusals}) == 2  # gateways


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_a_clock_that_jumps_loses_no_node(
    jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = Calendar()
    monkeypatch.setattr(time, "time", calendar)
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
        aiohttp.ClientSession() as web,
        web.ws_connect(f"http://127.0.0.1:{running.ws_port}/node?uid=ws") as node,
    ):
        with Device(running.mqttsn_port) as board:
            await board.connects(b"sn")
            topic_id = await board.registers(b"node/sn/led", 1)
            for number, led in enumerate(("0", "1"), 2):
                await node.send_json({"type": "update", "data": {"led": led}})
                await board.publishes(topic_id, b'{"value":"%s"}' % led.encode(), number)
                await client.shows("ws", led=led)
                await client.shows("sn", led=led)
                calendar.now += jump_s
            assert await board.exchange("02 16") == "0217"  # PINGREQ: it is still a client
        assert not [message for message in client.received if message["type"] == "out"]
