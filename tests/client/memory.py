# SPDX-License-Identifier: BSD-3-Clause
"""A real broker with a test gateway, and connections to it inside this process."""

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
        self._received: asyncio.Queue[Sequence[ToClient] | None] = asyncio.Queue()
        self._client = broker.client_connected(self)

    async def send(self, message: FromClient) -> None:
        self._broker.from_client(self._client, message)

    async def receive(self) -> Sequence[ToClient]:
        messages = await self._received.get()
        if messages is None:
            raise self._lost
        return messages

    def end(self, lost: LinkLost | None = None) -> None:
        self._lost = lost or LinkLost("cut")
        self._broker.client_left(self._client)
        self._received.put_nowait(None)

    # The socket interface that the broker uses.

    def write(self, data: bytes) -> None:
        for frame in frames(data):
            self._received.put_nowait(decode_to_client(frame))

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"the broker closed a valid client: {code} {reason}")


class Network:
    """A broker, a gateway, and connections to the broker that can be cut."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: TS)
        self.reachable = True
        self.attempts = 0
        self.notices: list[str] = []
        """Sentences that the client passed to `tell`."""
        self.commands: list[Command] = []
        self.outcome: ReceiptState | None = "confirmed"
        """The receipt of each command; None: no receipt."""
        self._connections: list[Connection] = []
        self._link: MemoryLink[ToGateway, FromGateway]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Network"]:
        self._link, broker_end = MemoryLink.pair()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self.broker.serve_gateway(broker_end, acknowledges=True))
            receiving = tasks.create_task(self._link.run(self._handle_messages))
            self.send(Hello(name="test", protocol="Test"))
            yield self
            serving.cancel()
            receiving.cancel()

    def send(self, *messages: FromGateway) -> None:
        for message in messages:
            self._link.send(message)

    async def deliver(self, *messages: FromGateway) -> None:
        """Send messages and wait until all clients have received them."""
        self.send(*messages)
        await settle()

    def reading(self, uid: str, resource: str, data: object, ts: float = TS) -> Reading:
        return Reading.received(uid, resource, data, ts)

    def client(self, **more: object) -> Client:
        return Client(connect=self.connect, tell=self.notices.append, **more)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        self.attempts += 1
        if not self.reachable:
            raise LinkLost("connection refused")
        connection = Connection(self.broker)
        self._connections.append(connection)
        try:
            yield connection
        finally:
            if connection in self._connections:
                self._connections.remove(connection)
                connection.end()

    def cut(self, lost: LinkLost | None = None) -> None:
        """Lose all connections, for the client with this error."""
        while self._connections:
            self._connections.pop().end(lost)

    def _handle_messages(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, Command):
                self.commands.append(message)
                if self.outcome is not None:
                    self.send(Receipt(id=message.id, state=self.outcome, detail="by the test"))


async def settle() -> None:
    """Run all tasks that are ready."""
    await asyncio.sleep(0.05)
