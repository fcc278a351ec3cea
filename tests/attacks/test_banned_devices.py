# SPDX-License-Identifier: BSD-3-Clause
"""A banned node with a credential: neither its device nor anybody else brings it back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config
from pyaiot.protocols.coap.numbers import MessageType
from tests.attacks.test_secured_uids import ATTACKS, of_mqtt
from tests.clients import Broker, Client
from tests.coap_device import CoapDevice, coap_device
from tests.dtls_tunnel import dtls_tunnel
from tests.running import Running, running_everything

pytestmark = pytest.mark.sockets


async def decides(broker: Broker, admission: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.patch(f"{broker.url}api/nodes/lamp", json={"admission": admission}) as answer,
    ):
        assert answer.status == 200


async def everything_is_handled(running: Running, client: Client, uid: str) -> None:
    """What was sent before has arrived when this device is shown."""
    async with coap_device(running.coap_port) as device:
        await device.post("alive", f"alive:{uid}")
        await client.shows(uid)


def values_of_lamp(client: Client) -> list[object]:
    return [it["data"] for it in client.received if it.get("endpoint") == "led"]


@contextlib.asynccontextmanager
async def over_dtls(running: Running, key: bytes) -> AsyncIterator[CoapDevice]:
    async with (
        dtls_tunnel("lamp", key, running.coaps_port) as tunnel,
        coap_device(tunnel.port) as it,
    ):
        yield it


async def test_banned_device_is_not_shown_over_dtls_until_the_ban_is_lifted(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", "coap", host="127.0.0.1", now=time.time())
    async with (
        running_everything(tmp_path / "devices.db") as running,
        Broker(running.url) as broker,
        broker.client() as client,
        over_dtls(running, bytes.fromhex(added.secret)) as device,
    ):

        async def report(value: str) -> None:
            for path, text in (("alive", "alive:lamp"), ("server", f"led:{value}")):
                await device.post(path, text, mtype=MessageType.CON)

        await report("0")
        await client.shows("lamp", led="0")
        await decides(broker, "banned")
        await client.until(type="out", uid="lamp")
        await report("1")
        for attack in ATTACKS.values():
            await attack(running)
        await everything_is_handled(running, client, "first")
        assert "lamp" not in client.nodes
        assert values_of_lamp(client) == ["0"]
        await decides(broker, "accepted")
        while "lamp" not in client.nodes:
            await report("2")
            await everything_is_handled(running, client, "second")
        await client.shows("lamp", led="2")
    store.close()


async def test_banned_device_is_not_shown_over_mqtt_until_the_ban_is_lifted(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", "mqtt", host="127.0.0.1", now=time.time())
    async with (
        running_everything(tmp_path / "devices.db") as running,
        Broker(running.url) as broker,
        broker.client() as client,
        of_mqtt(running, added.secret) as report,
    ):
        await report("0")
        await client.shows("lamp", led="0")
        await decides(broker, "banned")
        await client.until(type="out", uid="lamp")
        await report("1")
        for attack in ATTACKS.values():
            await attack(running)
        await everything_is_handled(running, client, "first")
        assert "lamp" not in client.nodes
        assert set(values_of_lamp(client)) == {"0"}
        await decides(broker, "accepted")
        while "lamp" not in client.nodes:
            await report("2")
            await asyncio.sleep(0.05)
            await everything_is_handled(running, client, "second")
        await client.shows("lamp", led="2")
    store.close()
