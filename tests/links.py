# SPDX-License-Identifier: BSD-3-Clause
"""A gateway and a broker, joined by links of each kind, and by an unreliable one."""

import asyncio
import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Generic, Self, TypeVar

import aiohttp
from aiohttp import web

from pyaiot.broker.broker import Broker
from pyaiot.broker.keys import TokenCheck, generate_keys, mint_token
from pyaiot.errors import LinkLost
from pyaiot.gateways.gateway import Gateway, GatewayLink, Outcome
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.links import MemoryLink
from pyaiot.links.connecting import connect_gateway
from pyaiot.messages import (
    Command,
    FromGateway,
    GatewayState,
    Join,
    Message,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
    ToGateway,
    decode_to_client,
)
from pyaiot.transport.backoff import Backoff
from pyaiot.web.websockets import Sockets

B = TypeVar("B", bound=Message)
C = TypeVar("C", bound=Message)

TS = 1_700_000_000.0


class Devices:
    """Devices whose outcomes of writes the test sets."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """By uid; other devices confirm."""
        self.delays_s: dict[str, float] = {}
        self.written: list[tuple[str, str, str]] = []

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        assert deadline > asyncio.get_running_loop().time()
        await asyncio.sleep(self.delays_s.get(uid, 0.0))
        self.written.append((uid, resource, payload))
        return self.outcomes.get(uid, Outcome("confirmed"))


class Watcher:
    """A client of the broker: the messages that it received, and the resulting state."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._changed = asyncio.Event()
        self.received: list[Message] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        self.receipts: Counter[str] = Counter()
        self.client = broker.client_connected(self)
        broker.from_client(self.client, Join(data="client"))

    # The interface of a socket that the broker uses.

    def write(self, data: bytes) -> None:
        for frame in frames(data):
            for message in decode_to_client(frame):
                self._receive(message)
        self._changed.set()

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"the broker closed a valid client: {code} {reason}")

    def _receive(self, message: Message) -> None:
        self.received.append(message)
        match message:
            case NodeAppeared(uid=uid):
                assert uid not in self.nodes, f"{uid} appeared twice"
                self.nodes[uid] = {}
            case Reading(uid=uid, resource=resource, data=data):
                self.nodes[uid][resource] = data
            case NodeReset(uid=uid):
                self.nodes[uid].clear()
            case NodeLeft(uid=uid):
                del self.nodes[uid]
            case Receipt(id=command_id):
                self.receipts[command_id] += 1

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until a received message makes the condition true."""
        while not true():
            self._changed.clear()
            await self._changed.wait()

    def command(
        self, uid: str, payload: str = "1", *, number: str = "c", timeout_s: float = 5.0
    ) -> None:
        command = Command(id=number, uid=uid, resource="led", payload=payload, timeout_s=timeout_s)
        self._broker.from_client(self.client, command)

    async def receipt(self, number: str = "c") -> Receipt:
        """Wait for the receipt of a command."""
        await self.until(lambda: self.receipts[number])
        (found,) = [x for x in self.received if isinstance(x, Receipt) and x.id == number]
        return found

    def gateway_states(self) -> list[str]:
        return [item.state for item in self.received if isinstance(item, GatewayState)]


class System(ABC):
    """A gateway, a broker and a client, and the link between the first two."""

    second_s = 1.0
    """Length of a second of the system: shorter if the clock is a real one."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.broker = Broker(flush_interval_s=0.0, timer=self.loop, unix_time=lambda: TS)
        self.watcher = Watcher(self.broker)
        self.devices = Devices()
        self.gateway = self.new_gateway("test")
        self.broker_is_up = asyncio.Event()
        self.broker_is_up.set()
        self.link: GatewayLink | None = None
        self.settled = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        # An exception in a callback, for example in a client, fails the test.
        self.loop.set_exception_handler(lambda _, context: self._failures.append(context))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if ended is not None and not isinstance(ended, asyncio.CancelledError):
                raise ended
        assert not self._failures, self._failures

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task until the system is closed."""
        self._tasks.append(self.loop.create_task(work))

    def new_gateway(self, name: str, *, silence_limit_s: float | None = None) -> Gateway:
        return Gateway(
            name=name,
            protocol="CoAP",
            nodes=LiveNodes(silence_limit_s=silence_limit_s, nodes_max=100),
            loop=self.loop,
            unix_time=lambda: TS,
            backoff=Backoff(first_s=0.05 * self.second_s, rng=random.Random(name)),
        )

    @abstractmethod
    async def connect(self) -> GatewayLink:
        """A new link to the broker. Raises `LinkLost` while there is none."""

    async def connect_first(self) -> GatewayLink:
        await self.broker_is_up.wait()
        self.link = await self.connect()
        return self.link

    async def start(self) -> None:
        """Link the gateway, and wait until a client is notified."""
        self.spawn(self.gateway.keep_linked(self.connect_first, self.devices))
        await self.watcher.until(self.watcher.gateway_states)

    async def settle(self) -> None:
        """Return when all earlier messages of the gateway have arrived at the client."""
        self.settled += 1
        uid = f"SETTLED {self.settled}"
        self.gateway.node_seen(uid, {})
        self.gateway.left(uid, "left")
        left = NodeLeft(uid=uid, ts=TS)
        await self.watcher.until(lambda: left in self.watcher.received)


class MemorySystem(System):
    async def connect(self) -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        self.spawn(self.broker.serve_gateway(broker_end, acknowledges=True))
        return gateway_end


class WebSocketSystem(System):
    second_s = 0.02

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__()
        self._session = session
        self._keys = generate_keys()
        self.url = ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        sockets = Sockets(self.broker, TokenCheck(self._keys, time.time))
        app.router.add_get("/gw", sockets.gateway)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"ws://{host}:{port}/gw"
            yield
        finally:
            await sockets.close_all()
            await runner.cleanup()

    async def connect(self) -> GatewayLink:
        return await connect_gateway(self._session, self.url, mint_token(self._keys))


class UnreliableSystem(System):
    """Its links delay and duplicate messages and are cut; their ends notice at different times."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.is_reliable = False
        """Whether new links are reliable."""
        self.wires: list[_Wire] = []

    async def connect(self) -> GatewayLink:
        if not self.is_reliable:
            await asyncio.sleep(self.rng.expovariate(1.0))
            if self.rng.random() < 0.3:
                raise LinkLost("connection refused")
        wire = _Wire(self)
        self.wires.append(wire)
        self.spawn(self.broker.serve_gateway(wire.broker_end, acknowledges=True))
        return wire.gateway_end

    def cut(self) -> None:
        """Cut all links: they carry no more messages."""
        for wire in self.wires:
            wire.cut()
        self.wires.clear()


class _Wire:
    """A link between the ends of an unreliable system."""

    def __init__(self, system: UnreliableSystem) -> None:
        self.system = system
        self.is_cut = False
        self.gateway_end: _End[ToGateway, FromGateway] = _End(self)
        self.broker_end: _End[FromGateway, ToGateway] = _End(self)
        self.gateway_end.peer = self.broker_end
        self.broker_end.peer = self.gateway_end

    def cut(self) -> None:
        if not self.is_cut:
            self.is_cut = True
            for end in (self.gateway_end, self.broker_end):
                # Between 0 and 30 s, the time in which a heartbeat detects a lost link.
                delay_s = self.system.rng.choice((0.0, 0.1, self.system.rng.uniform(0.0, 30.0)))
                self.system.loop.call_later(delay_s, end.notice)


class _End(Generic[B, C]):
    """One end: a `Link`."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._lost = asyncio.Event()
        self._receive: Callable[[Sequence[B]], None] | None = None
        self._coming: deque[B] = deque()
        self._arrived: deque[B] = deque()
        self._due = 0.0
        self.peer: _End[C, B]

    def send(self, message: C) -> None:
        system = self._wire.system
        delay_s = 0.0 if system.is_reliable else system.rng.expovariate(5.0)
        # A stream keeps its order in spite of different delays.
        self._due = max(self._due, system.loop.time() + delay_s)
        twice = not system.is_reliable and system.rng.random() < 0.1
        for _ in range(2 if twice else 1):
            self.peer._coming.append(message)
            system.loop.call_at(self._due, self.peer._arrive)

    def send_all(self, messages: Sequence[C], costs: Sequence[int]) -> None:
        assert len(messages) == len(costs)
        for message in messages:
            self.send(message)

    def _arrive(self) -> None:
        message = self._coming.popleft()
        if not self._wire.is_cut:
            self._arrived.append(message)
            self._take()

    def _take(self) -> None:
        while self._receive is not None and self._arrived:
            self._receive([self._arrived.popleft()])

    @property
    def queue(self) -> tuple[int, int]:
        return len(self._coming) + len(self._arrived), 0

    def close(self, reason: str) -> None:
        del reason
        self._wire.cut()

    def notice(self) -> None:
        self._lost.set()

    async def run(self, received: Callable[[Sequence[B]], None]) -> None:
        self._receive = received
        self._take()
        try:
            await self._lost.wait()
        finally:
            self._wire.cut()
        raise LinkLost("cut")


def frames(data: bytes) -> list[bytes]:
    """The payloads of unmasked text frames (RFC 6455 section 5.2)."""
    found = []
    at = 0
    while at < len(data):
        assert data[at] == 0x81
        length = data[at + 1]
        at += 2
        extended = {126: 2, 127: 8}.get(length, 0)
        if extended:
            length = int.from_bytes(data[at : at + extended], "big")
            at += extended
        found.append(data[at : at + length])
        at += length
    return found
