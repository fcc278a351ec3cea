# SPDX-License-Identifier: BSD-3-Clause
"""Devices made with other people's MQTT clients, at other people's MQTT brokers.

Each appears, sends readings, carries out a command, and is offline when it is silent.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import paho.mqtt.client as paho
import pytest

from pyaiot.messages import NodeLeft
from scripts import javascript
from tests.documents import ROOT
from tests.gateways.mqtt_servers import server
from tests.gateways.test_mqtt_gateway import World, at, world
from tests.gateways.test_mqtt_gateway import device as paho_device

pytestmark = pytest.mark.sockets

UID: Final = "foreign-1"
REPORT_S: Final = 0.2
SILENCE_LIMIT_S: Final = 1.0
VERSIONS: Final = {5: "5", 4: "311"}
"""By the level in CONNECT: the name that mosquitto's clients have for it."""

MakeDevice: TypeAlias = Callable[[int, int], AbstractAsyncContextManager[None]]
"""A device at this port with this level of MQTT, which publishes every `REPORT_S`."""


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is killed at the end: it sends nothing then."""
    running = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.communicate()


class ShellDevice:
    """A device out of `mosquitto_sub` and `mosquitto_pub`, as a shell script would be one."""

    def __init__(self, port: int, level: int) -> None:
        self._common = ("-h", "127.0.0.1", "-p", str(port), "-V", VERSIONS[level])
        self._values = {"led": "0", "temperature": "23.5°C"}

    async def listen(self) -> None:
        topics = ("-t", "gateway/check", "-t", f"gateway/{UID}/#")
        async with process("mosquitto_sub", *self._common, "-F", "%t %p", *topics) as ear:
            assert ear.stdout is not None
            while line := await ear.stdout.readline():
                topic, _, text = line.decode().rstrip("\n").partition(" ")
                await self._answer(topic.split("/")[1:], text)

    async def report(self) -> None:
        while True:
            # Repeated, because commands before `mosquitto_sub` has subscribed are lost.
            await self._publish("check", {"id": UID})
            await self._command("temperature")
            await asyncio.sleep(REPORT_S)

    async def _answer(self, words: list[str], text: str) -> None:
        match words:
            case ["check"]:
                await self._publish("check", {"id": UID})
            case [_, "discover"] if text == "resources":
                await self._publish(f"{UID}/resources", list(self._values))
            case [_, "discover"]:
                for resource in self._values:
                    await self._command(resource)
            case [_, resource, "set"] if resource in self._values:
                self._values[resource] = text
                await self._command(resource)

    async def _command(self, resource: str) -> None:
        await self._publish(f"{UID}/{resource}", {"value": self._values[resource]})

    async def _publish(self, topic: str, value: object) -> None:
        message = ("-q", "1", "-t", f"node/{topic}", "-m", json.dumps(value))
        async with process("mosquitto_pub", *self._common, *message) as once:
            assert await once.wait() == 0


@asynccontextmanager
async def mosquitto_clients(port: int, level: int) -> AsyncIterator[None]:
    if shutil.which("mosquitto_sub") is None or shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed (apt install mosquitto-clients)")
    device = ShellDevice(port, level)
    async with doing(device.listen(), device.report()):
        yield


@asynccontextmanager
async def doing(*work: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


@asynccontextmanager
async def paho_client(port: int, level: int) -> AsyncIterator[None]:
    async with paho_device(port, UID, protocol={5: paho.MQTTv5, 4: paho.MQTTv311}[level]) as board:

        async def report() -> None:
            while True:
                board.send_value("temperature")
                await asyncio.sleep(REPORT_S)

        async with doing(report()):
            yield


@asynccontextmanager
async def mqtt_js(port: int, level: int) -> AsyncIterator[None]:
    folder = ROOT / "tests" / "interop" / "js"
    node, packages = javascript.command("node"), javascript.packages(folder)
    if node is None or packages is None:
        pytest.skip("MQTT.js is not installed (scripts/node --packages tests/interop/js)")
    script = str(folder / "device.cjs")
    async with process(*node, script, str(packages), str(port), UID, str(level)) as running:
        yield
        assert running.returncode is None


def lost(here: World) -> bool:
    return any(
        isinstance(message, NodeLeft) and (message.uid, message.reason) == (UID, "silent")
        for message in here.received
    )


@pytest.mark.parametrize(("kind", "level"), [("mosquitto", 5), ("mosquitto", 4), ("nats", 4)])
@pytest.mark.parametrize("make", [mosquitto_clients, paho_client, mqtt_js])
async def test_foreign_device_appears_is_commanded_and_is_lost(
    make: MakeDevice, kind: str, level: int, tmp_path: Path
) -> None:
    with server(kind, tmp_path) as running:
        running.start()
        gateway = msgspec.structs.replace(at(running), version=level)
        async with world(gateway, silence_limit_s=SILENCE_LIMIT_S) as here:
            async with make(running.port, level):
                await here.until(lambda: here.value(UID, "temperature") == "23.5°C")
                await here.until(lambda: here.value(UID, "led") == "0")
                assert here.value(UID, "protocol") == "MQTT"
                receipt = await here.command(UID, "led", "1")
                assert receipt.state == "confirmed", receipt
                assert here.value(UID, "led") == "1"
                assert here.uids() == [UID]
                assert not lost(here)
            await here.until(lambda: lost(here))
            assert here.mqtt.refused == 0
