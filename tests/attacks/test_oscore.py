# SPDX-License-Identifier: BSD-3-Clause
"""Protected messages of nobody: the option OSCORE costs an attacker more than the gateway."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.clients import Broker, Client
from tests.coap_device import CoapDevice, coap_device
from tests.gateways.oscore_device import OscoreTestDevice, credential
from tests.gateways.test_coap_intake import request
from tests.running import running_coap
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

JUNK = 5000
PROMPT_S = 5.0


class Peer:
    """A socket at its own address."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.socket.connect(("127.0.0.1", port))
        self.sent = self.received = 0

    def send(self, datagram: bytes) -> None:
        self.sent += self.socket.send(datagram)

    def answers(self) -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(2048))
        self.received += sum(map(len, found))
        return found

    async def answer(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with time_limit(PROMPT_S):
            return await loop.sock_recv(self.socket, 2048)


@dataclass
class Attacked:
    client: Client
    honest: CoapDevice
    lamp: OscoreTestDevice
    lamp_at: Peer
    attacker: Peer

    async def post(self, number: int) -> None:
        """A post of the secured node, which must be answered and shown."""
        plain = request("server", f"t:{number}", number, mtype=MessageType.CON)
        protected = self.lamp.protect(plain)
        self.lamp_at.send(protected)
        while True:
            answer = await self.lamp_at.answer()
            if answer[1] >= 64 and answer[2:4] == number.to_bytes(2, "big"):
                break  # else a request of the gateway, or an answer to another post
        assert self.lamp.read_response(answer).code == Code.CHANGED
        await self.client.shows("lamp", t=str(number))


@contextlib.asynccontextmanager
async def attack(tmp_path: Path) -> AsyncIterator[Attacked]:
    store = DeviceStore(tmp_path / "devices.db")
    store.add(credential("lamp", created_at=time.time()))
    store.close()
    async with (
        running_coap(devices=tmp_path / "devices.db") as running,
        Broker(running.url) as broker,
        broker.client() as client,
        coap_device(running.coap_port) as honest,
    ):
        lamp_at = Peer("127.66.0.1", running.coap_port)
        attacker = Peer("127.66.0.2", running.coap_port)
        try:
            it = Attacked(client, honest, OscoreTestDevice("lamp"), lamp_at, attacker)
            await it.post(1)
            await honest.post("alive", "alive:honest")
            yield it
        finally:
            lamp_at.socket.close()
            attacker.socket.close()


async def test_flood_of_protected_nonsense_stops_nobody(tmp_path: Path) -> None:
    async with attack(tmp_path) as attacked:
        unknown = OscoreTestDevice("unknown")
        wrong_key = OscoreTestDevice("lamp")
        wrong_key.context = OscoreTestDevice("other").context
        codes: Counter[int] = Counter()
        for number in range(JUNK):
            plain = request("server", f"t:{number}", number, mtype=MessageType.CON)
            attacked.attacker.send((unknown, wrong_key)[number % 2].protect(plain))
            if number % 250 == 0:
                await asyncio.sleep(0)
                await attacked.post(10_000 + number)
                await attacked.honest.post("server", f"t:{number}")
                await attacked.client.shows("honest", t=str(number))
            codes.update(answer[1] for answer in attacked.attacker.answers())
        await attacked.post(20_000)
        codes.update(answer[1] for answer in attacked.attacker.answers())
        assert set(codes) <= {Code.UNAUTHORIZED, Code.BAD_REQUEST}
        assert 0 < codes.total() < JUNK / 10
        assert attacked.attacker.received <= AMPLIFICATION_MAX * attacked.attacker.sent


async def test_replayed_post_does_not_count_and_attracts_nothing(tmp_path: Path) -> None:
    async with attack(tmp_path) as attacked:
        plain = request("server", "t:7", 7, mtype=MessageType.CON)
        captured = attacked.lamp.protect(plain)
        attacked.lamp_at.send(captured)
        await attacked.client.shows("lamp", t="7")
        await attacked.post(8)
        attacked.attacker.send(captured)
        answer = CoapMessage.from_bytes(await attacked.attacker.answer())
        assert answer.code == Code.UNAUTHORIZED
        assert answer.option(OptionNumber.OSCORE) is None
        await attacked.post(9)
        values = [it["data"] for it in attacked.client.received if it.get("endpoint") == "t"]
        assert values.count("7") == 1
        assert attacked.attacker.answers() == []


async def test_unprotected_claim_of_a_secured_uid_is_refused(tmp_path: Path) -> None:
    async with attack(tmp_path) as attacked:
        attacked.attacker.send(request("alive", "alive:lamp", 1, mtype=MessageType.CON))
        answer = CoapMessage.from_bytes(await attacked.attacker.answer())
        assert answer.code == Code.FORBIDDEN
        attacked.attacker.send(request("server", "t:99", 2, mtype=MessageType.CON))
        answer = CoapMessage.from_bytes(await attacked.attacker.answer())
        assert answer.code == Code.SERVICE_UNAVAILABLE
        await attacked.post(9)
        assert "99" not in {it.get("data") for it in attacked.client.received}


async def test_registration_of_a_secured_node_is_removed_by_nobody_else(tmp_path: Path) -> None:
    def directory(code: Code, number: int, *path: str, query: str = "") -> bytes:
        options = build_options(
            *((OptionNumber.URI_PATH, item) for item in path),
            *([(OptionNumber.URI_QUERY, item) for item in query.split("&")] if query else ()),
        )
        return CoapMessage(MessageType.CON, code, number, b"d", options).to_bytes()

    async with attack(tmp_path) as attacked:
        lamp, at = attacked.lamp, attacked.lamp_at

        async def register(query: str) -> CoapMessage:
            number = 100 + lamp.number
            at.send(lamp.protect(directory(Code.POST, number, "rd", query=query)))
            while True:
                answer = await at.answer()
                if answer[1] >= 64 and answer[2:4] == number.to_bytes(2, "big"):
                    return lamp.read_response(answer)

        assert (await register("ep=robot&lt=600")).code == Code.FORBIDDEN
        created = await register("ep=lamp&lt=600")
        assert created.code == Code.CREATED
        location = [
            value.decode()
            for number, value in created.options
            if number == OptionNumber.LOCATION_PATH
        ]
        # From the same host, but without the key.
        beside = Peer("127.66.0.1", at.socket.getpeername()[1])
        try:
            for peer in (beside, attacked.attacker):
                for code, query in ((Code.DELETE, ""), (Code.POST, "lt=61")):
                    peer.send(directory(code, 7, *location, query=query))
                    answer = CoapMessage.from_bytes(await peer.answer())
                    assert answer.code == Code.FORBIDDEN
                peer.send(directory(Code.POST, 8, "rd", query="ep=lamp&lt=61"))
                answer = CoapMessage.from_bytes(await peer.answer())
                assert answer.code == Code.FORBIDDEN
        finally:
            beside.socket.close()
        assert (await register("ep=lamp&lt=600")).option(OptionNumber.LOCATION_PATH) == b"rd"
        await attacked.post(9)
