# SPDX-License-Identifier: BSD-3-Clause
"""The port for DTLS sessions: when it is open, and a flood of those who have no key."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import OperatorError
from pyaiot.gateways.base import new_gateway
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.coap.secured_port import SecuredPort
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.dtls.server import DtlsServer
from tests.coap_device import coap_device
from tests.dtls_tunnel import dtls_tunnel
from tests.gateways.mqttsn_device import eventually
from tests.programs import free_port
from tests.protocols.dtls import hellos

pytestmark = pytest.mark.sockets

KEY = b"0123456789abcdef"
FLOOD = 20_000


def add_key(path: Path, uid: str = "lamp") -> None:
    store = DeviceStore(path)
    store.add(DeviceCredential(uid, "dtls-psk", KEY, 1.0))
    store.close()


@contextlib.asynccontextmanager
async def opened(path: Path, port: int = 0) -> AsyncIterator[CoapGateway]:
    """A gateway with these devices. It has no broker, and looks for new devices on request."""
    gateway = new_gateway("coap", "CoAP", 120.0, 100, devices=DeviceStore(path))
    coap = await CoapGateway.open(gateway, "127.0.0.1", 0, coaps_port=port)
    try:
        yield coap
    finally:
        await coap._endpoint.close()
        gateway.devices.close()


def secured(coap: CoapGateway) -> SecuredPort:
    assert coap.secured is not None
    return coap.secured


def server_of(coap: CoapGateway) -> DtlsServer:
    dtls = secured(coap)._dtls
    assert dtls is not None
    return dtls.server


def samples(coap: CoapGateway) -> dict[str, object]:
    return {sample.metric.name: sample.value for sample in secured(coap).collect()}


async def test_port_is_closed_while_no_device_has_a_key(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    store.add(DeviceCredential("robot", "oscore", KEY, 1.0))
    store.close()
    async with opened(tmp_path / "devices.db") as coap:
        assert secured(coap).port == 0
        assert set(samples(coap).values()) == {0}
        assert await coap.answers()


async def test_open_port_answers_and_is_counted(tmp_path: Path) -> None:
    add_key(tmp_path / "devices.db")
    async with opened(tmp_path / "devices.db") as coap:
        port = secured(coap).port
        assert await coap.answers()
        async with dtls_tunnel("lamp", KEY, port) as tunnel, coap_device(tunnel.port) as device:
            answer = await device.post("server", "temperature:20", from_server=True)
            assert answer.code == Code.CHANGED
            assert samples(coap)["pyaiot_coap_dtls_sessions"] == 1
            assert samples(coap)["pyaiot_coap_dtls_sessions_opened"] == 1
        server_of(coap).close_all("ends")
        assert samples(coap)["pyaiot_coap_dtls_sessions"] == 0


async def test_failed_handshake_is_reported_with_its_identity(tmp_path: Path) -> None:
    add_key(tmp_path / "devices.db")
    async with opened(tmp_path / "devices.db") as coap:
        async with dtls_tunnel("greenhouse", KEY, secured(coap).port) as tunnel:
            loop = asyncio.get_running_loop()
            tunnel.dtls.send(b"hello", now=loop.time())
            tunnel.transmit()
            server, dtls = server_of(coap), secured(coap)._dtls
            assert dtls is not None

            def identified() -> bool:
                return any(it.connection.identity for it in server._handshakes.values())

            await eventually(identified)
            # Its records cannot be decrypted, and are ignored until its time is over.
            server.handle_timer(now=loop.time() + 1000.0)
            dtls._apply()
        report = coap.gateway.rejections.report
        assert report is not None
        assert report.messages_refused == 1
        (text,) = report.refusals
        assert text.startswith(
            "CoAP: no session with 127.0.0.1, which sent the identity greenhouse (this uid has no"
            " credential): "
        )


async def test_port_that_is_in_use_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, port = tmp_path / "devices.db", free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::", port))
        async with opened(path, port) as coap:
            # The first key is added while the gateway runs.
            add_key(path)
            with caplog.at_level(logging.ERROR):
                coap.gateway.device_watch.refresh()
            assert secured(coap).port == 0
            (record,) = caplog.records
            assert record.message == (
                f"devices with a key cannot connect: UDP port {port} is in use: stop the other"
                " CoAP server, or choose another port with --coaps-port."
            )
        with pytest.raises(OperatorError, match=f"UDP port {port} is in use.*--coaps-port"):
            async with opened(path, port):
                pass


async def test_trace_has_the_decrypted_messages(tmp_path: Path) -> None:
    add_key(tmp_path / "devices.db")
    seen: list[tuple[bytes, bool]] = []
    async with opened(tmp_path / "devices.db") as coap:
        coap._endpoint.trace_to(lambda data, _peer, inbound: seen.append((data, inbound)))
        async with (
            dtls_tunnel("lamp", KEY, secured(coap).port) as tunnel,
            coap_device(tunnel.port) as device,
        ):
            await device.post("server", "temperature:20", from_server=True)
    assert any(b"temperature:20" in data and inbound for data, inbound in seen)
    assert any(data[1] == Code.CHANGED and not inbound for data, inbound in seen)


async def test_flood_of_those_without_a_key_leaves_no_state_and_others_are_served(
    tmp_path: Path,
) -> None:
    """Attack 11, on the port for DTLS: hellos, and records that belong to no session."""
    add_key(tmp_path / "devices.db")
    random = Random(5684)
    datagrams = [
        *hellos.ALL.values(),
        hellos.riot(random.randbytes(16), sequence=1),
        *(b"\x17\xfe\xfd\0\x01" + random.randbytes(60) for _ in range(5)),
        *(b"\x16\xfe\xfd\0\0" + random.randbytes(60) for _ in range(5)),
        *(random.randbytes(random.randrange(200)) for _ in range(5)),
    ]
    async with opened(tmp_path / "devices.db") as coap:
        port = secured(coap).port
        sent = received = 0
        async with dtls_tunnel("lamp", KEY, port) as tunnel, coap_device(tunnel.port) as device:
            assert (await device.post("server", "t:1", from_server=True)).code == Code.CHANGED
            with contextlib.ExitStack() as sockets:
                peers = []
                for number in range(200):
                    peer = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    peer.bind((f"127.39.0.{number + 1}", 0))
                    peer.connect(("127.0.0.1", port))
                    peer.setblocking(False)
                    peers.append(peer)
                for number in range(FLOOD):
                    sent += peers[number % 200].send(datagrams[number % len(datagrams)])
                    if number % 100 == 0:
                        await asyncio.sleep(0)
                        for peer in peers:
                            with contextlib.suppress(BlockingIOError):
                                while True:
                                    received += len(peer.recv(4096))
                    if number % 5000 == 0:
                        answer = await device.post("server", f"t:{number}", from_server=True)
                        assert answer.code == Code.CHANGED
            server = server_of(coap)
            assert (len(server), server.handshakes, tunnel.dtls.handshakes) == (1, 0, 1)
            assert server.ignored
            assert 0 < received < sent
