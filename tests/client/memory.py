# SPDX-License-Identifier: BSD-3-Clause
"""A real broker with a gateway of the test's own, and connections to it inside this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from pyaiot.broker.broker import Broker
from pyaiot.client.client import Client
from pyaiot.errors import LinkLost
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromClient,
    FromGateway,
    Hello,
    Reading,
    Receipt,
    ReceiptState,
    ToClient,
    ToGateway,
    decode_to_client,
)
from tests.links import frames

TS = 1_700_000_000.0


class Connection:
    """A connection of a client to the broker in memory."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._told: asyncio.Queue[Sequence[ToClient] | None] = asyncio.Queue()
        self._client = broker.client_connected(self)

    async def send(self, message: FromClient) -> None:
        self._broker.from_client(self._client, message)

    async def receive(self) -> Sequence[ToClient]:
        messages = await self._told.get()
        if messages is None:
            raise LinkLost("cut")
        return messages

    def end(self) -> None:
        self._broker.client_left(self._client)
        self._told.put_nowait(None)

    # What the broker needs of a socket.

    def write(self, data: bytes) -> None:
        for frame in frames(data):
            self._told.put_nowait(decode_to_client(frame))

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"the broker closed a good client: {code} {reason}")


class Road:
    """A broker, a gateway, and a way to the broker that can be cut."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: TS)
        self.passable = True
        self.attempts = 0
        self.told: list[str] = []
        """What the client told its user of the connection."""
        self.commands: list[Command] = []
        self.outcome: ReceiptState | None = "confirmed"
        """What the gateway says of each command; None: nothing."""
        self._connections: list[Connection] = []
        self._link: MemoryLink[ToGateway, FromGateway]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Road"]:
        self._link, broker_end = MemoryLink.pair()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self.broker.serve_gateway(broker_end, acknowledges=True))
            hearing = tasks.create_task(self._link.run(self._heard))
            self.say(Hello(name="test", protocol="Test"))
            yield self
            serving.cancel()
            hearing.cancel()

    def say(self, *messages: FromGateway) -> None:
        for message in messages:
            self._link.send(message)

    async def said(self, *messages: FromGateway) -> None:
        """Say it and wait until everybody has heard it."""
        self.say(*messages)
        await settle()

    def reading(self, uid: str, resource: str, data: object, ts: float = TS) -> Reading:
        return Reading.received(uid, resource, data, ts)

    def client(self, **more: object) -> Client:
        return Client(connect=self.connect, tell=self.told.append, **more)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        self.attempts += 1
        if not self.passable:
            raise LinkLost("connection refused")
        connection = Connection(self.broker)
        self._connections.append(connection)
        try:
            yield connection
        finally:
            if connection in self._connections:
                self._connections.remove(connection)
                connection.end()

    def cut(self) -> None:
        """Every connection is lost."""
        while self._connections:
            self._connections.pop().end()

    def _heard(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, Command):
                self.commands.append(message)
                if self.outcome is not None:
                    self.say(Receipt(id=message.id, state=self.outcome, detail="by the test"))


async def settle() -> None:
    """Let everything happen that happens without waiting."""
    await asyncio.sleep(0.05)
