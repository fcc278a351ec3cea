# SPDX-License-Identifier: BSD-3-Clause
"""Foreign devices with a user name and a password at the embedded MQTT broker."""

import asyncio
import re

import aiohttp
import pytest

from tests.clients import Broker
from tests.end_to_end.test_embedded_mqtt import ended, everything
from tests.gateways.mqtt_servers import nats_server
from tests.mqtt.test_foreign_topics import Client
from tests.programs import Programs

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


async def added(programs: Programs, name: str, protocol: str) -> tuple[str, str, str]:
    """Client id, user name and password of a new device."""
    command = ("device", "add", name, "--protocol", protocol)
    result = await asyncio.to_thread(programs.run, *command)
    assert result.returncode == 0, result.stderr
    found = re.search(r"User: (\S+)\. Client id: (\S+)\. .*: (\w{32})", result.stdout)
    assert found is not None, result.stdout
    return found[2], found[1], found[3]


async def test_devices_of_dialects_use_their_own_topics_and_no_others(programs: Programs) -> None:
    service, url, port = everything(programs, AIOT_MQTT_ANONYMOUS="no")
    plug = Client(port, *await added(programs, "plug", "tasmota"))
    relay = Client(port, *await added(programs, "shelly1-AB12", "shelly"))
    kettle = Client(port, *await added(programs, "kettle", "homie4"))
    garden = Client(port, *await added(programs, "garden", "homeassistant"))
    config = '{"stat_t":"garden/t","uniq_id":"g-t","dev":{"ids":["g"]},"cmd_t":"cmnd/plug/POWER"}'
    spy = config.replace('"g', '"s').replace("garden/t", "tele/plug/STATE")
    async with Broker(url) as broker, broker.client() as client:
        assert await plug.subscribe("cmnd/plug/#")
        assert not await plug.subscribe("cmnd/other/#")
        assert not await plug.subscribe("shellies/#")
        for device, topic, payload in (
            # Forbidden messages come first: they would be seen before the rest.
            (plug, "tele/other/STATE", '{"POWER":"ON"}'),
            (plug, "shellies/shelly1-AB12/relay/0", "on"),
            (relay, "tele/plug/STATE", '{"POWER":"ON"}'),
            (kettle, "homie/5/kettle/$state", "ready"),
            (garden, "homeassistant/sensor/plug/t/config", config),
            (garden, "tele/plug/STATE", '{"POWER":"ON"}'),
            (garden, "homeassistant/sensor/garden/s/config", spy),
            (plug, "tele/plug/STATE", '{"POWER":"OFF"}'),
            (relay, "shellies/shelly1-AB12/relay/0", "off"),
            (kettle, "homie/kettle/$state", "ready"),
            (garden, "homeassistant/number/garden/t/config", config),
        ):
            device.publish(topic, payload)
        await client.shows("tasmota-plug", power="OFF")
        await client.shows("shelly-shelly1-AB12", relay_0="off")
        await client.shows("homie4-kettle", dialect="Homie")
        # It is received from when the gateway has subscribed to it.
        state = asyncio.create_task(repeated(garden, "garden/t", "21.5"))
        await client.shows("ha-g", t=21.5)
        state.cancel()
        nodes = await uids(url)
        assert nodes == {"tasmota-plug", "shelly-shelly1-AB12", "homie4-kettle", "ha-g"}

        await client.command("tasmota-plug", "power", "ON", timeout_s=5.0)
        while not plug.received:  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.01)
        assert plug.received == [("cmnd/plug/POWER", b"ON")]
        # The topic of commands that it named is that of another device.
        command = await client.command("ha-g", "t", "30")
        receipt = await client.until(type="receipt", id=command)
        assert (receipt["state"], len(plug.received)) == ("refused", 1)

        removed = await asyncio.to_thread(programs.run, "device", "remove", "tasmota-plug")
        assert removed.returncode == 0
        await client.until(type="out", uid="tasmota-plug")
    for device in (plug, relay, kettle, garden):
        device.close()
    ended(service)


async def repeated(device: Client, topic: str, payload: str) -> None:
    while True:
        device.client.publish(topic, payload)
        await asyncio.sleep(0.1)


async def uids(url: str) -> set[str]:
    async with aiohttp.ClientSession() as web, web.get(url + "api/nodes") as answer:
        return {it["uid"] for it in (await answer.json())["nodes"]}


@pytest.mark.parametrize(
    ("name", "protocol", "sentence"),
    [
        ("tele", "homeassistant", "Tele is a reserved word: choose another name."),
        ("5", "homie4", "5 is a reserved word: choose another name."),
        ("plug", "shelly-rpc", "such as shellyplusplugs-a8032ab12345."),
        ("bridge", "zigbee2mqtt", "such as zigbee2mqtt, its base topic."),
        ("edge", "sparkplug", "such as plant.line-1, group id and edge node id."),
        ("a.b", "tasmota", "the name of a device has no .: choose another name."),
        ("lamp", "homie4", "The device lamp connects with this name already"),
    ],
)
def test_name_that_would_give_topics_of_others_is_refused(
    programs: Programs, name: str, protocol: str, sentence: str
) -> None:
    assert programs.run("device", "add", "lamp", "--protocol", "mqtt").returncode == 0
    result = programs.run("device", "add", name, "--protocol", protocol)
    assert result.returncode == 2
    assert sentence in result.stderr
