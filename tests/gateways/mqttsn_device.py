# SPDX-License-Identifier: BSD-3-Clause
"""An MQTT-SN device that sends given datagrams, for tests of the gateway."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self

from pyaiot.gateways.mqttsn.endpoint import Endpoint
from pyaiot.gateways.mqttsn.gateway import MqttSnGateway
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import MqttConnection
from pyaiot.protocols.mqtt.client import MqttClientProtocol
from pyaiot.protocols.mqtt.events import MqttEvent, MqttMessage, MqttSubscribed
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.settings import GatewayConfig
from tests.time_limits import time_limit

PATIENCE_S = 10.0


class Device:
    """A UDP socket that sends and receives hexadecimal datagrams."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", own: tuple[str, int] | None = None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if own is not None:
            self._socket.bind(own)
        # As the connected sockets of boards, it receives only from this address.
        self._socket.connect((host, port))

    @property
    def port(self) -> int:
        name: tuple[str, int] = self._socket.getsockname()
        return name[1]

    def send(self, text: str, data: bytes = b"") -> None:
        """`text` is hexadecimal, `data` follows; `LL` is the length of all."""
        body = text.replace(" ", "")
        if body.startswith("LL"):
            body = f"{(len(body) // 2) + len(data):02x}{body[2:]}"
        self._socket.send(bytes.fromhex(body) + data)

    async def receive(self, limit_s: float = PATIENCE_S) -> bytes:
        async with time_limit(limit_s):
            return await asyncio.get_running_loop().sock_recv(self._socket, 65536)

    async def exchange(self, text: str, data: bytes = b"") -> str:
        """Send it, and return the next datagram in hexadecimal."""
        self.send(text, data)
        return (await self.receive()).hex()

    async def nothing(self, limit_s: float = 0.1) -> None:
        """Check that nothing is received during this time."""
        with contextlib.suppress(TimeoutError):
            datagram = await self.receive(limit_s)
            raise AssertionError(datagram.hex())

    async def connects(self, name: bytes, *, clean: bool = True, duration_s: int = 360) -> None:
        head = f"LL 04 {4 if clean else 0:02x} 01 {duration_s:04x}"
        assert await self.exchange(head, name) == "030500"

    async def registers(self, topic: bytes, message_id: int = 1) -> str:
        """The topic id, in hexadecimal."""
        answer = await self.exchange(f"LL 0a 0000 {message_id:04x}", topic)
        assert answer[:4] == "070b"
        assert answer[8:] == f"{message_id:04x}00"
        return answer[4:8]

    async def publishes(self, topic_id: str, data: bytes, message_id: int) -> None:
        """With QoS 1."""
        answer = await self.exchange(f"LL 0c 20 {topic_id} {message_id:04x}", data)
        assert answer == f"070d{topic_id}{message_id:04x}00"

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watcher:
    """A client of the MQTT broker that notes what is published."""

    def __init__(self) -> None:
        self.messages: list[MqttMessage] = []
        self.connection: MqttConnection
        self._more = asyncio.Event()
        self._subscribed = False

    def on_event(self, event: MqttEvent) -> None:
        if isinstance(event, MqttMessage):
            self.messages.append(event)
        self._subscribed = self._subscribed or isinstance(event, MqttSubscribed)
        self._more.set()

    async def subscribes(self, topic_filter: str) -> None:
        self._subscribed = False
        self.connection.subscribe(1, topic_filter, qos=1)
        async with time_limit(PATIENCE_S):
            while not self._subscribed:
                await self.changes()

    async def changes(self) -> None:
        self._more.clear()
        await self._more.wait()

    async def sees(self, topic: str, payload: bytes) -> MqttMessage:
        async with time_limit(PATIENCE_S):
            while True:
                for message in self.messages:
                    if message.topic == topic and message.payload == payload:
                        return message
                await self.changes()


@contextlib.asynccontextmanager
async def watcher(port: int, *filters: str) -> AsyncIterator[Watcher]:
    watching = Watcher()
    server = MqttServer("127.0.0.1", port)
    watching.connection = MqttConnection(
        server, MqttClientProtocol(), Connect("watcher"), watching.on_event
    )
    await watching.connection.open()
    try:
        for topic_filter in filters:
            await watching.subscribes(topic_filter)
        yield watching
    finally:
        watching.connection.close()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition is true, or the time limit ends."""
    async with time_limit(PATIENCE_S):
        for pause_s in itertools.chain((0.0,), itertools.repeat(0.01)):
            await asyncio.sleep(pause_s)
            if condition():
                return


@dataclass
class Running:
    """A gateway in this process."""

    gateway: MqttSnGateway
    port: int
    task: asyncio.Task[None]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def mqttsn_gateway(
    mqtt_port: int,
    config: GatewayConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    advertise_address: str = "",
    **more: Any,
) -> AsyncIterator[Running]:
    endpoint = Endpoint(host, port, advertise_address)
    gateway = MqttSnGateway(
        endpoint,
        MqttServer("127.0.0.1", mqtt_port),
        config or GatewayConfig(advertise_s=None),
        **more,
    )
    running = Running(gateway, gateway.port, asyncio.create_task(gateway.run()))
    try:
        yield running
    finally:
        await running.end()
        endpoint.close()
