# SPDX-License-Identifier: BSD-3-Clause
"""Foreign devices at the embedded MQTT broker, played by the clients of mosquitto."""

import asyncio
import json
import shutil

import pytest
from yarl import URL

from pyaiot.gateways.mqtt.dialects.dialect import DEVICE_LIST_PAYLOAD_MAX
from tests.clients import Broker
from tests.end_to_end.test_embedded_mqtt import ended, everything
from tests.gateways.dialects.recordings import (
    HOMIE_4,
    HOMIE_5,
    TASMOTA,
    ZIGBEE2MQTT,
    Recording,
    moved,
    recorded,
    zigbee_house,
)
from tests.gateways.mqtt_servers import nats_server
from tests.mqtt.test_foreign_topics import Client
from tests.programs import Programs
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _programs_are_here() -> None:
    nats_server()
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed (apt install mosquitto-clients)")


async def play(port: int, messages: Recording) -> None:
    """Publish each message with its own client, in order."""
    for topic, payload, retained in messages:
        arguments = ["-p", str(port), "-V", "311", "-q", "1", "-t", topic, "-s"]
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub",
            *arguments,
            *(["-r"] if retained else []),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate(payload)
        assert process.returncode == 0


async def command_at(device: Client) -> tuple[str, bytes]:
    """The next command that a device received."""
    async with time_limit(10):
        while not device.received:  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.01)
    return device.received.pop(0)


async def test_recordings_of_three_dialects_are_typed_nodes_that_take_commands(
    programs: Programs,
) -> None:
    service, url, port = everything(programs)
    devices = Client(port, "devices")
    for topic in ("cmnd/plug-1/#", "zigbee2mqtt/+/set", "homie/kettle/+/+/set"):
        assert await devices.subscribe(topic)
    async with Broker(url) as broker, broker.client() as client:
        await play(port, TASMOTA)
        await play(port, ZIGBEE2MQTT)
        await play(port, HOMIE_4)
        await play(port, HOMIE_5)
        await client.shows("tasmota-plug-1", power="ON", energy_power=42, dialect="Tasmota")
        await client.shows("z2m-0x00158d0001a2b3c4", temperature=20.7, humidity=51.3)
        await client.shows("z2m-0x0017880102030405", state="OFF", vendor="IKEA")
        await client.shows("homie4-kettle", mode="tea", name="Kettle")
        await client.shows("homie5-blind-1", position=40)

        command = await client.command("tasmota-plug-1", "power", "OFF")
        assert await command_at(devices) == ("cmnd/plug-1/POWER", b"OFF")
        await play(port, recorded(("stat/plug-1/RESULT", {"POWER": "OFF"})))
        receipt = await client.until(type="receipt", id=command)
        assert receipt["state"] == "confirmed", receipt

        command = await client.command("z2m-0x0017880102030405", "brightness", "200")
        topic, payload = await command_at(devices)
        assert (topic, json.loads(payload)) == ("zigbee2mqtt/hall_lamp/set", {"brightness": 200})
        await play(port, recorded(("zigbee2mqtt/hall_lamp", {"state": "ON", "brightness": 200})))
        receipt = await client.until(type="receipt", id=command)
        assert receipt["state"] == "confirmed", receipt

        command = await client.command("homie4-kettle", "mode", "boil", timeout_s=1.0)
        assert await command_at(devices) == ("homie/kettle/boiler/mode/set", b"boil")
        receipt = await client.until(type="receipt", id=command)
        assert receipt["state"] == "sent", receipt

        await play(port, recorded(("tele/plug-1/LWT", "Offline", True)))
        await client.until(type="out", uid="tasmota-plug-1")
    devices.close()
    ended(service)


async def test_devices_with_other_base_topics_are_nodes_that_take_commands(
    programs: Programs,
) -> None:
    service, url, port = everything(programs, AIOT_MQTT_ZIGBEE2MQTT_BASE_TOPICS="home/zigbee")
    devices = Client(port, "devices")
    for topic in ("plug-9/cmnd/#", "home/zigbee/#"):
        assert await devices.subscribe(topic)
    prefixes = {"tp": ["cmnd", "stat", "tele"], "ft": "%topic%/%prefix%/"}
    async with Broker(url) as broker, broker.client() as client:
        await play(
            port,
            recorded(
                ("tasmota/discovery/AABBCCDDEE09/config", {"t": "plug-9", **prefixes}, True),
                ("plug-9/tele/LWT", "Online", True),
            ),
        )
        await client.shows("tasmota-plug-9", dialect="Tasmota")
        await play(port, recorded(("plug-9/stat/RESULT", {"POWER": "ON"})))
        await client.shows("tasmota-plug-9", power="ON")
        await client.command("tasmota-plug-9", "power", "off", timeout_s=1.0)
        assert await command_at(devices) == ("plug-9/cmnd/POWER", b"OFF")

        await play(port, moved(ZIGBEE2MQTT, "zigbee2mqtt", "home/zigbee"))
        await client.shows("z2m-0x0017880102030405", state="OFF", vendor="IKEA")
        await client.command("z2m-0x0017880102030405", "state", "on", timeout_s=1.0)
        while (received := await command_at(devices))[0] != "home/zigbee/hall_lamp/set":
            pass  # it reads its own publications
        assert json.loads(received[1]) == {"state": "ON"}
    devices.close()
    ended(service)


async def test_retained_descriptions_survive_a_restart_of_the_gateway(programs: Programs) -> None:
    service, url, port = everything(programs)
    devices, *availability = zigbee_house(200)
    assert 900_000 < len(devices[1]) <= DEVICE_LIST_PAYLOAD_MAX
    await play(port, HOMIE_5)
    await play(port, [devices, availability[0], availability[-1]])
    first, last = "z2m-0x00158d0001000000", "z2m-0x00158d00010000c7"
    async with Broker(url) as broker, broker.client() as client:
        await client.shows("homie5-blind-1", position=40)
        for uid, board in ((first, "M0"), (last, "M199")):
            await client.shows(uid, board=board, vendor="IKEA")
    ended(service)
    service, url, port = everything(programs)
    async with Broker(url) as broker, broker.client() as client:
        await client.shows("homie5-blind-1", position=40, name="South blind")
        await client.shows(last, board="M199")
        await play(port, recorded(("zigbee2mqtt/house/device_199", {"setting_15": 30})))
        await client.shows(last, setting_15=30)
    ended(service)


async def test_a_mapping_is_tried_and_added_while_everything_runs(programs: Programs) -> None:
    service, url, port = everything(programs)
    form, message = "farm/{node}/{resource}", ("farm/barn/level", "41.5")
    broker = ["--broker-port", str(URL(url).port)]

    async def mapping(*words: str, code: int = 0) -> str:
        ended = await asyncio.to_thread(programs.run, "mapping", *words, *broker)
        assert ended.returncode == code, ended.stderr
        return ended.stdout or ended.stderr

    async with Broker(url) as web, web.client() as client:
        options = ("--unit", "level=°C", "--command", "{topic}/set")
        assert await mapping("try", form, *message, *options) == (
            "node map-barn (barn)\n  level  41.5 Cel  number  commands to farm/barn/level/set\n"
        )
        assert await mapping("try", form, "x", "1", code=1) == (
            "aiot: the topic is not of the form farm/{node}/{resource}.\n"
        )
        assert "no mappings" in await mapping("list")
        assert "level {node}" in await mapping("add", "farm", "farm/x", code=2)
        added = await mapping("add", "farm", form, *options)
        assert added == f"farm '{form}' --unit 'level=°C' --command '{{topic}}/set'\n"
        assert await mapping("list") == added
        device = Client(port, "device")
        assert await device.subscribe("farm/barn/+/set")
        await play(port, recorded(message))
        await client.shows("map-barn", level=41.5)
        await client.command("map-barn", "level", "40", timeout_s=1.0)
        assert await command_at(device) == ("farm/barn/level/set", b"40")
        device.close()
        await mapping("remove", "farm")
        await client.until(type="out", uid="map-barn")
        assert await mapping("remove", "farm", code=2) == (
            "aiot: There is no such mapping: see aiot mapping list.\n"
        )
    ended(service)
