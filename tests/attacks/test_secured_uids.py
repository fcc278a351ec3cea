# SPDX-License-Identifier: BSD-3-Clause
"""A uid with a credential is taken over by no device without it, on any protocol."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import accesses, add_device
from pyaiot.config import Config
from pyaiot.protocols.coap.numbers import Code, MessageType
from tests.clients import Broker, Client
from tests.coap_device import coap_device, directory_request
from tests.dtls_tunnel import dtls_tunnel
from tests.gateways.mqtt_servers import nats_server
from tests.gateways.mqttsn_device import Device
from tests.running import Running, running_everything
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

FORGED = "forged"


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


# -- attackers: each claims the uid `lamp` in every way that its protocol has --------------------


async def over_coap(running: Running) -> None:
    async with coap_device(running.coap_port) as device:
        for text in ("alive:lamp", "reset:lamp", "Alive:lamp"):
            await device.post("alive", text, mtype=MessageType.CON)
            await device.post("server", f"led:{FORGED}", mtype=MessageType.CON)
        device.has({"led": FORGED})
        registration = directory_request(Code.POST, "/rd", "ep=lamp", "lt=60", payload=b"</led>")
        answer = await device.exchange(registration)
        assert answer.code >= Code.BAD_REQUEST
        await device.exchange(directory_request(Code.POST, "/.well-known/rd", "ep=lamp", "lt=60"))


async def over_websocket(running: Running) -> None:
    url = f"http://127.0.0.1:{running.ws_port}/node"
    update = f'{{"type":"update","data":{{"led":"{FORGED}"}}}}'
    async with aiohttp.ClientSession() as session:
        for query, first in (("?uid=lamp", update), ("", '{"type":"new","uid":"lamp"}')):
            async with session.ws_connect(url + query) as socket:
                with contextlib.suppress(ConnectionError):
                    await socket.send_str(first)
                    await socket.send_str(update)
                async for _ in socket:
                    pass
                assert socket.close_code == 1008


async def over_mqtt(running: Running) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="lamp", protocol=paho.MQTTv311)
    client.will_set("node/lamp/led", f'{{"value":"{FORGED}"}}')
    client.connect("127.0.0.1", running.mqtt_port)
    client.loop_start()
    try:
        for retain in (False, True):
            for qos in (0, 1, 2):
                client.publish("node/check", '{"id":"lamp"}', qos, retain)
                client.publish("node/lamp/resources", '["led"]', qos, retain)
                client.publish("node/lamp/led", f'{{"value":"{FORGED}"}}', qos, retain)
        last = client.publish("node/lamp/temperature", '"forged"', 1)
        async with time_limit(5):
            while not last.is_published():  # noqa: ASYNC110 - paho has no event for it
                await asyncio.sleep(0.005)
    finally:
        client._sock_close()
        client.loop_stop()


async def over_mqttsn(running: Running) -> None:
    with Device(running.mqttsn_port) as device:
        await device.connects(b"lamp")
        for number, topic in enumerate((b"node/check", b"node/lamp/led"), start=1):
            topic_id = await device.registers(topic, number)
            payload = b'{"id":"lamp"}' if number == 1 else b'{"value":"forged"}'
            await device.publishes(topic_id, payload, 10 + number)


ATTACKS: dict[str, Callable[[Running], Awaitable[None]]] = {
    "coap": over_coap,
    "ws": over_websocket,
    "mqtt": over_mqtt,
    "mqttsn": over_mqttsn,
}


# -- owners ---------------------------------------------------------------------------------------

Report = Callable[[str], Awaitable[None]]


@contextlib.asynccontextmanager
async def of_websocket(running: Running, secret: str) -> AsyncIterator[Report]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://127.0.0.1:{running.ws_port}/node",
            headers={"Authorization": f"Bearer {secret}"},
        ) as socket,
    ):

        async def report(value: str) -> None:
            await socket.send_json({"type": "update", "data": {"led": value}})

        yield report
        assert not socket.closed


@contextlib.asynccontextmanager
async def of_mqtt(running: Running, secret: str) -> AsyncIterator[Report]:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="lamp", protocol=paho.MQTTv311)
    client.username_pw_set("lamp", secret)
    losses: list[Any] = []
    client.on_disconnect = lambda *args: losses.append(args)
    # The gateway asks at each of its connections: so the value is known, in either order.
    value = ["0"]

    def send() -> None:
        client.publish("node/lamp/led", f'{{"value":"{value[0]}"}}', 1)

    def connected(*_: Any) -> None:
        client.subscribe("gateway/check")
        send()

    client.on_connect = connected
    client.on_message = lambda *_: send()
    client.connect("127.0.0.1", running.mqtt_port)
    client.loop_start()

    async def report(text: str) -> None:
        value[0] = text
        send()

    try:
        yield report
        assert losses == []
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.asynccontextmanager
async def absent(_running: Running, _secret: str) -> AsyncIterator[Report]:
    async def report(_value: str) -> None:
        raise AssertionError("it has a credential, and is not there")

    yield report


OWNERS = {"ws": of_websocket, "mqtt": of_mqtt}


@pytest.mark.parametrize(
    ("protocol", "is_there"),
    [
        # tests/gateways/test_coap_identity.py has such devices online over CoAP.
        *((name, True) for name in OWNERS),
        # Uids of dialects begin with their names: tests/end_to_end/test_foreign_logins.py.
        *((it.name, False) for it in accesses().values() if it.kind and not it.uid_prefix),
    ],
)
async def test_a_claim_without_the_credential_is_never_shown(
    tmp_path: Path, protocol: str, is_there: bool
) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", protocol, host="127.0.0.1", now=time.time())
    owner = OWNERS[protocol] if is_there else absent
    async with (
        running_everything(tmp_path / "devices.db") as running,
        Broker(running.url) as broker,
        broker.client() as client,
        owner(running, added.secret) as report,
    ):
        if is_there:
            await report("0")
            await client.shows("lamp", led="0")
        for attack in ATTACKS.values():
            await attack(running)
        # Everything that was sent before has arrived when this device is shown.
        async with coap_device(running.coap_port) as device:
            await device.post("alive", "alive:honest")
            await client.shows("honest")
        if is_there:
            await report("1")
            await client.shows("lamp", led="1")
        of_lamp = [it for it in client.received if it.get("uid") == "lamp"]
        assert not [it for it in of_lamp if FORGED in str(it)]
        assert not [it for it in of_lamp if it["type"] in {"out", "reset"}]
        if not is_there:
            assert of_lamp == []
    store.close()


# -- after the credential was removed --------------------------------------------------------------


async def over_dtls(running: Running, secret: str) -> None:
    async with (
        dtls_tunnel("lamp", bytes.fromhex(secret), running.coaps_port) as tunnel,
        coap_device(tunnel.port) as device,
    ):
        await device.post("alive", "alive:lamp", mtype=MessageType.CON)
        await device.post("server", "led:0", mtype=MessageType.CON)


async def with_coap(running: Running) -> None:
    async with coap_device(running.coap_port) as device:
        await device.post("alive", "alive:lamp", mtype=MessageType.CON)
        await device.post("server", "led:plain", mtype=MessageType.CON)


async def with_mqtt(running: Running) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="lamp", protocol=paho.MQTTv311)
    client.connect("127.0.0.1", running.mqtt_port)
    client.loop_start()
    try:
        client.publish("node/check", '{"id":"lamp"}', 1)
        last = client.publish("node/lamp/led", '{"value":"plain"}', 1, retain=True)
        async with time_limit(5):
            while not last.is_published():  # noqa: ASYNC110 - paho has no event for it
                await asyncio.sleep(0.005)
    finally:
        client.disconnect()
        client.loop_stop()


async def first_over(protocol: str, running: Running, secret: str, client: Client) -> None:
    """The device connects with its credential, and is shown."""
    if protocol == "coap":
        await over_dtls(running, secret)
        await client.shows("lamp", led="0")
        return
    async with OWNERS[protocol](running, secret) as report:
        await report("0")
        await client.shows("lamp", led="0")


@pytest.mark.parametrize(("protocol", "plain"), [("coap", with_coap), ("mqtt", with_mqtt)])
async def test_a_credential_that_was_removed_while_nothing_ran_frees_its_uid(
    tmp_path: Path, protocol: str, plain: Callable[[Running], Awaitable[None]]
) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", protocol, host="127.0.0.1", now=time.time())
    files = {"devices": tmp_path / "devices.db", "registry": tmp_path / "registry.db"}
    async with (
        running_everything(**files) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        await first_over(protocol, running, added.secret, client)
    assert store.remove("lamp") == 1
    store.close()
    async with (
        running_everything(**files) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        await plain(running)
        await client.shows("lamp", led="plain")


async def test_a_file_of_credentials_that_was_lost_frees_no_uid(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", "coap", host="127.0.0.1", now=time.time())
    store.close()
    files = {"devices": tmp_path / "devices.db", "registry": tmp_path / "registry.db"}
    async with (
        running_everything(**files) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        await first_over("coap", running, added.secret, client)
    (tmp_path / "devices.db").unlink()
    async with (
        running_everything(**files) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        coap_device(running.coap_port) as honest,
    ):
        await with_coap(running)
        await honest.post("alive", "alive:honest")
        await client.shows("honest")
        assert not [it for it in client.received if "plain" in str(it)]
