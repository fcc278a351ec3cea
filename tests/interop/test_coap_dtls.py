# SPDX-License-Identifier: BSD-3-Clause
"""Nodes behind a DTLS session: both directions, reboots, restarts, and credentials that change."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_runner import run_coap_node
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.clients import Broker, Client
from tests.coap_device import WELL_KNOWN_CORE, CoapDevice, Reply, coap_device
from tests.dtls_tunnel import DtlsTunnel, dtls_tunnel
from tests.programs import Programs, free_port
from tests.relay import Trouble, udp_relay
from tests.running import Running, running_coap

pytestmark = pytest.mark.sockets

CON, NON, ACK = MessageType.CON, MessageType.NON, MessageType.ACK
KEY = b"0123456789abcdef"


def add_key(path: Path, uid: str = "lamp", key: bytes = KEY) -> None:
    store = DeviceStore(path)
    store.add(DeviceCredential(uid, "dtls-psk", key, 1.0))
    store.close()


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    path = tmp_path / "devices.db"
    add_key(path)
    return path


@dataclass
class SecuredScene:
    running: Running
    client: Client
    device: CoapDevice
    tunnel: DtlsTunnel

    async def post(self, path: str, text: str, *, mtype: MessageType = NON) -> Code:
        """Post from the port at which the device answers, as a board with one session does."""
        answer = await self.device.post(path, text, mtype=mtype, from_server=True)
        return Code(answer.code)


@contextlib.asynccontextmanager
async def secured_scene(
    devices: Path, *, coap: CoapSection | None = None
) -> AsyncIterator[SecuredScene]:
    async with (
        running_coap(coap=coap, devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        dtls_tunnel("lamp", KEY, running.coaps_port) as tunnel,
        coap_device(tunnel.port) as device,
    ):
        yield SecuredScene(running, client, device, tunnel)


# -- both directions ----------------------------------------------------------------------------


async def test_node_is_read_and_written_in_its_session(devices: Path) -> None:
    async with secured_scene(devices) as it:
        it.device.has({"led": "0", "board": "native"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        assert await it.post("alive", "alive:lamp") == Code.CHANGED
        await it.client.shows("lamp", led="0", board="native", ip="127.0.0.1")
        receipt = await it.client.write("lamp", "led", "1")
        assert (receipt["state"], receipt["detail"]) == ("confirmed", "2.04 Changed")
        await it.client.shows("lamp", led="1")
        assert {request.origin[1] for request in it.device.requests} == {it.tunnel.port}
        assert it.tunnel.dtls.handshakes == 1


@pytest.mark.parametrize("mtype", [NON, CON])
async def test_node_is_observed_in_its_session(devices: Path, mtype: MessageType) -> None:
    async with secured_scene(devices) as it:
        it.device.has({"t": Reply(payload=b"20", observe=10)})
        it.device.offers(b"</t>;obs")
        await it.post("alive", "alive:lamp")
        await it.client.shows("lamp", t="20")
        message_id = it.device.notify("t", "21", 11, mtype=mtype)
        await it.client.shows("lamp", t="21")
        if mtype is CON:
            assert await it.device.reply_to(message_id) is ACK


async def test_long_values_go_in_blocks_in_both_directions(devices: Path) -> None:
    text = "0123456789" * 300
    async with secured_scene(devices) as it:
        it.device.has({"js": Reply(payload=text.encode(), block_szx=6)})
        it.device.replies[Code.PUT, "js"] = Reply(Code.CHANGED, takes_szx=2)
        await it.post("alive", "alive:lamp")
        await it.client.shows("lamp", js=text)
        receipt = await it.client.write("lamp", "js", text[::-1])
        assert receipt["state"] == "confirmed"
        assert it.device.uploaded("js") == text[::-1].encode()


async def test_server_of_libcoap_is_read_and_written_through_a_session(
    devices: Path, coap_server: str, programs: Programs
) -> None:
    port = free_port(socket.SOCK_DGRAM)
    programs.start(coap_server, "-A", "127.0.0.1", "-p", str(port))
    async with secured_scene(devices) as it:
        it.tunnel.requests_to, it.tunnel.is_fixed = ("127.0.0.1", port), True
        it.device.send(it.device.notification("alive", "alive:lamp"), from_server=True)
        while "example_data" not in it.client.nodes.get("lamp", {}):
            await it.client.next()
        assert len(it.client.nodes["lamp"]["example_data"]) == 1500  # in blocks
        receipt = await it.client.write("lamp", "example_data", "Grüße")
        assert (receipt["state"], receipt["detail"]) == ("confirmed", "2.04 Changed")
        await it.client.shows("lamp", example_data="Grüße")


async def test_node_without_a_session_is_unreachable(devices: Path) -> None:
    async with secured_scene(devices) as it:
        it.device.has({"led": "0"})
        await it.post("alive", "alive:lamp")
        await it.client.shows("lamp", led="0")
        it.tunnel.dtls.close()
        it.tunnel.transmit()
        while (receipt := await it.client.write("lamp", "led", "1"))["state"] == "timeout":
            pass  # it was sent before the close_notify arrived
        assert receipt["state"] == "unreachable"
        assert await it.post("server", "led:0") == Code.CHANGED
        assert it.tunnel.dtls.handshakes == 2


# -- reboots and restarts -----------------------------------------------------------------------


@pytest.mark.parametrize("at_new_port", [False, True])
async def test_rebooted_node_is_served_in_its_new_session(devices: Path, at_new_port: bool) -> None:
    async with secured_scene(devices) as it:
        it.device.has({"t": Reply(payload=b"20", observe=10)})
        it.device.offers(b"</t>;obs")
        it.device.replies[Code.PUT, "t"] = Reply(Code.CHANGED, b"t:30")
        await it.post("alive", "alive:lamp")
        await it.client.shows("lamp", t="20")
        it.tunnel.reboot()
        if at_new_port:
            await it.tunnel.open_outer()
        assert await it.post("alive", "reset:lamp") == Code.CHANGED
        await it.client.until(type="reset", uid="lamp")
        # It is read and observed again.
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE, times=2)
        await it.device.requests_for(Code.GET, "t", times=2)
        it.device.replies[Code.GET, "t"] = Reply(payload=b"21", observe=10)
        number = 11
        while await it.device.reply_to(it.device.notify("t", "21", number, mtype=CON)) is not ACK:
            number += 1  # of the observation before its `reset`
        await it.client.shows("lamp", t="21")
        assert (await it.client.write("lamp", "t", "30"))["state"] == "confirmed"


async def test_new_session_without_a_reboot_leaves_the_values(devices: Path) -> None:
    async with secured_scene(devices) as it:
        it.device.has({"led": "0"})
        await it.post("alive", "alive:lamp")
        await it.post("server", "temperature:20")
        await it.client.shows("lamp", led="0", temperature="20")
        it.tunnel.reboot()
        await it.post("server", "humidity:40")
        await it.client.shows("lamp", led="0", temperature="20", humidity="40")
        assert not [item for item in it.client.received if item["type"] in ("reset", "out")]


@pytest.mark.sockets(speed=5)
async def test_client_with_a_session_from_before_a_restart_gets_a_new_one(devices: Path) -> None:
    """The gateway was killed without a close_notify. Posts are unanswered until a new handshake."""
    port = free_port(socket.SOCK_DGRAM)
    section = CoapSection(port=0, coaps_port=port)
    async with secured_scene(devices, coap=section) as it:
        assert await it.post("server", "temperature:20") == Code.CHANGED
        tunnel = it.tunnel
        tunnel.wire = lambda _datagram: []  # the close_notify of the gateway is lost
    tunnel.wire = lambda datagram: [datagram]
    async with (
        running_coap(coap=section, devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        await tunnel.open()
        async with coap_device(tunnel.port) as device:
            try:
                for _ in range(10):
                    device.send(device.notification("server", "temperature:21"), from_server=True)
                    await asyncio.sleep(3.0)
                    if "lamp" in client.nodes or tunnel.dtls.handshakes > 1:
                        break
                answer = await device.post("server", "temperature:22", from_server=True)
                assert answer.code == Code.CHANGED
                await client.shows("lamp", temperature="22")
                assert tunnel.dtls.handshakes == 2
            finally:
                tunnel.close()


# -- credentials --------------------------------------------------------------------------------


async def test_port_opens_with_the_first_key_and_the_node_goes_with_its_key(
    tmp_path: Path,
) -> None:
    path, port = tmp_path / "devices.db", free_port(socket.SOCK_DGRAM)
    section = CoapSection(port=0, coaps_port=port)
    async with (
        running_coap(coap=section, devices=path) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        assert running.coaps_port == 0
        add_key(path)
        async with dtls_tunnel("lamp", KEY, port) as tunnel, coap_device(tunnel.port) as device:
            # Its hellos are repeated until the port is open.
            answer = await device.post("server", "temperature:20", from_server=True)
            assert answer.code == Code.CHANGED
            await client.shows("lamp", temperature="20")
            store = DeviceStore(path)
            store.remove("lamp")
            store.close()
            await client.until(type="out", uid="lamp")
            await tunnel.ended.wait()
            assert tunnel.dtls.failure == "closed by the peer"


async def test_key_that_is_added_takes_the_uid_from_a_node_without(devices: Path) -> None:
    async with secured_scene(devices) as it, coap_device(it.running.coap_port) as plain:
        assert (await plain.post("alive", "alive:robot")).code == Code.CHANGED
        await plain.post("server", "led:7")
        await it.client.shows("robot", led="7")
        add_key(devices, "robot", b"k" * 16)
        await it.client.until(type="out", uid="robot")
        assert (await plain.post("alive", "alive:robot")).code == Code.FORBIDDEN
        assert (await plain.post("server", "led:8")).code == Code.SERVICE_UNAVAILABLE


# -- the resource directory ---------------------------------------------------------------------


def registration(uid: str, message_id: int) -> CoapMessage:
    options = build_options(
        (OptionNumber.URI_PATH, "rd"),
        (OptionNumber.CONTENT_FORMAT, 40),
        (OptionNumber.URI_QUERY, f"ep={uid}"),
        (OptionNumber.URI_QUERY, "lt=600"),
    )
    return CoapMessage(CON, Code.POST, message_id, b"rd", options, b"</led>")


async def test_registration_with_a_key_is_removed_with_that_key_only(devices: Path) -> None:
    async with (
        secured_scene(devices) as it,
        coap_device(it.running.coap_port, at_coap_port=False, host="127.0.0.1") as plain,
    ):
        it.device.has({"led": "1"})
        assert (await plain.exchange(registration("lamp", 60_001))).code == Code.FORBIDDEN
        created = await it.device.exchange(registration("lamp", 60_002), from_server=True)
        assert created.code == Code.CREATED
        await it.client.shows("lamp", led="1")
        lookup = CoapMessage(
            CON,
            Code.GET,
            60_005,
            b"l",
            build_options(
                (OptionNumber.URI_PATH, "rd-lookup"),
                (OptionNumber.URI_PATH, "res"),
            ),
        )
        found = await plain.exchange(lookup)
        assert found.payload.startswith(b"<coaps://127.0.0.1:")
        path = [value for number, value in created.options if number == OptionNumber.LOCATION_PATH]
        options = tuple((OptionNumber.URI_PATH, value) for value in path)
        remove = CoapMessage(CON, Code.DELETE, 60_004, b"x", options)
        assert (await plain.exchange(remove)).code == Code.FORBIDDEN
        assert (await it.device.exchange(remove, from_server=True)).code == Code.DELETED
        await it.client.until(type="out", uid="lamp")
        other = await it.device.exchange(registration("robot", 60_003), from_server=True)
        assert other.code == Code.FORBIDDEN


# -- simulated nodes, and a bad wire ------------------------------------------------------------


TROUBLE = Trouble(loss=0.15, duplicates=0.15, reordered=0.15)


@pytest.mark.sockets(speed=10)
@pytest.mark.parametrize("seed", range(3))
async def test_simulated_node_is_commanded_over_a_bad_wire(
    devices: Path, tmp_path: Path, seed: int
) -> None:
    key_file = tmp_path / "lamp.key"
    key_file.write_text(KEY.hex() + "\n")
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        udp_relay(running.coaps_port, trouble=TROUBLE, seed=seed) as relay,
        asyncio.TaskGroup() as tasks,
    ):
        config = CoapNodeConfig(
            uid="lamp",
            psk_file=str(key_file),
            gateway_port=relay.port,
            confirmable=True,
            alive_period_s=2.0,
            period_s=1.0,
            led=True,
            temperature=True,
        )
        node = tasks.create_task(run_coap_node(config))
        await client.shows("lamp", board="native")
        for number in range(6):
            led = str(number % 2)
            receipt = await client.write("lamp", "led", led)
            assert receipt["state"] in ("confirmed", "timeout")
            if receipt["state"] == "confirmed":
                await client.shows("lamp", led=led)
        assert relay.lost
        node.cancel()
