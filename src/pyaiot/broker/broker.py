# SPDX-License-Identifier: BSD-3-Clause
"""The broker: its router, its clients and its gateways on one event loop."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pyaiot import __version__
from pyaiot.broker.client import Client, Sink
from pyaiot.broker.event_client import EventClient, Position
from pyaiot.broker.fanout import Fanout, Timer
from pyaiot.broker.router import (
    CloseGateway,
    Delivery,
    Router,
    ToAll,
    ToOneClient,
    ToOneGateway,
    never_sent,
)
from pyaiot.errors import LinkLost
from pyaiot.links import Link
from pyaiot.messages import (
    SUBPROTOCOL,
    Checkpoint,
    Command,
    FromClient,
    FromGateway,
    GatewayState,
    Hello,
    Join,
    Problem,
    ReadingsDropped,
    Receipt,
    Subscribe,
    ToClient,
    ToGateway,
)
from pyaiot.metrics import Histogram
from pyaiot.transport.rate_limit import RateLimitedLog

CLIENTS_MAX: Final = 10_000
"""Clients at once. One more is answered 503."""
CONFIRM_AFTER_S: Final = 1.0
"""How long after a checkpoint of a gateway it is confirmed. History is on the disk by then."""
_EXPIRY_INTERVAL_S: Final = 0.1

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears in this process what the broker does. Called on its loop: it must never wait."""

    def heard(self, message: ToClient) -> None:
        """The broker says this to everybody."""
        ...

    def command_given(self, command: Command, ts: float) -> None:
        """This goes to a gateway now, at the Unix time `ts`; its `client` says who wished it."""
        ...

    def command_ended(self, command: Command, receipt: Receipt, ts: float) -> None:
        """A command has its receipt, as its client is told. Its id is empty if it went nowhere."""
        ...

    def gap_told(self, gateway: str, gap: ReadingsDropped) -> None:
        """A gateway of this name has lost readings."""
        ...


class Broker:
    """Moves what the router decides. Everything here happens on one loop; nothing waits."""

    def __init__(
        self,
        *,
        flush_interval_s: float,
        timer: Timer,
        unix_time: Callable[[], float],
        clock: Callable[[], float] | None = None,
        listener: Listener | None = None,
    ) -> None:
        """`clock` measures durations; the loop's own, unless one is given that is finer.

        `listener` hears what happens, say to keep it.
        """
        self.run = secrets.token_hex(4)
        """Tells this run of the broker from others."""
        self.router = Router()
        self.fanout = Fanout(flush_interval_s=flush_interval_s, timer=timer, unix_time=unix_time)
        self._timer = timer
        self._clock = clock or timer.time
        self._unix_time = unix_time
        self._listener = listener
        self._links: dict[int, Link[FromGateway, ToGateway]] = {}
        self._checkpoints: dict[int, Checkpoint | None] = {}
        """Gateways that wait for a confirmation, and the checkpoint that came meanwhile."""
        self._askers: dict[str, Callable[[ToClient], None]] = {}
        self.gateway_links = 0
        """Links of gateways, ever."""
        self.receipts: Counter[str] = Counter()
        """Commands that have ended, by the state of their receipt."""
        self.command_seconds = Histogram()
        """Of those that were confirmed."""
        self._expiry_due = False
        self._refusals = RateLimitedLog(log)
        self._states = RateLimitedLog(log)

    async def serve_gateway(
        self, link: Link[FromGateway, ToGateway], *, identity: str, acknowledges: bool
    ) -> None:
        """Serve a gateway until its link is lost, then return. Its nodes are out after that."""
        self.gateway_links += 1
        gateway = self.gateway_links
        self._links[gateway] = link
        router = self.router
        self._deliver(
            router.gateway_connected(
                gateway, identity=identity, acknowledges=acknowledges, ts=self._unix_time()
            )
        )
        log.debug("gateway link %d (%s) is up", gateway, identity)

        def received(messages: Sequence[FromGateway]) -> None:
            now, ts = self._clock(), self._unix_time()
            for message in messages:
                match message:
                    case Checkpoint():
                        self._confirm_later(gateway, message)
                    case ReadingsDropped():
                        self._tell_gap(router.name_of(gateway), message)
                    case _:
                        self._deliver(router.from_gateway(gateway, message, now=now, ts=ts))

        try:
            await link.run(received)
        except LinkLost as lost:
            log.debug("gateway link %d (%s) is lost: %s", gateway, identity, lost)
        finally:
            del self._links[gateway]
            self._checkpoints.pop(gateway, None)
            self._deliver(router.gateway_lost(gateway, now=self._clock(), ts=self._unix_time()))

    def _confirm_later(self, gateway: int, checkpoint: Checkpoint) -> None:
        """One at a time for each gateway: a later checkpoint stands for those before it."""
        waits = gateway in self._checkpoints
        self._checkpoints[gateway] = checkpoint if waits else None
        if not waits:
            self._timer.call_later(CONFIRM_AFTER_S, lambda: self._confirm(gateway, checkpoint))

    def _confirm(self, gateway: int, checkpoint: Checkpoint) -> None:
        if gateway not in self._links:
            return
        self._links[gateway].send(checkpoint)
        following = self._checkpoints.pop(gateway)
        if following is not None:
            self._confirm_later(gateway, following)

    def _tell_gap(self, name: str, gap: ReadingsDropped) -> None:
        log.warning("the gateway %s had no room for %d readings", name, gap.lost)
        if self._listener is not None:
            self._listener.gap_told(name, gap)

    def client_connected(self, sink: Sink, *, extended: bool, may_command: bool = True) -> Client:
        """A client that hears everything from now on. End it with `client_left`."""
        client = Client(
            secrets.token_hex(8),
            sink,
            extended=extended,
            may_command=may_command,
            now=self._timer.time(),
        )
        self.fanout.add(client)
        if extended:
            client.send(Hello(name="broker", protocol=SUBPROTOCOL, version=__version__))
        return client

    def event_client_connected(self, sink: Sink, wish: Subscribe) -> EventClient:
        """A client of server-sent events, not told anything yet. End it with `client_left`."""
        # What is gathered is older than what the client is told now.
        self.fanout.flush()
        self.fanout.hold_recent()
        position = Position(self.run, self.fanout.messages, self._unix_time())
        client = EventClient(secrets.token_hex(8), sink, position=position, now=self._timer.time())
        client.subscribe(wish)
        self.fanout.add(client)
        return client

    def from_client(self, client: Client, message: FromClient) -> None:
        """What a client says, already checked."""
        match message:
            case Join() if not client.may_join(self._timer.time()):
                self.router.refused += 1
            case Join():
                # What is gathered is older than what the client is told now.
                self.fanout.flush()
                if client.extended:
                    for gateway in self.router.gateways(self._unix_time()):
                        client.send(gateway)
                    for ignored in self.router.ignored():
                        client.send(ignored)
                client.join(self.router.nodes)
                self.fanout.drain(client)
            case Subscribe():
                client.subscribe(message)
            case Command() if not client.may_command:
                self.router.refused += 1
                refusal = Receipt(
                    id=message.id, state="forbidden", detail="you may look, not command"
                )
                self._deliver([ToOneClient(refusal, client.id, never_sent(message, client.id))])
            case Command():
                now = self._clock()
                self._deliver(self.router.from_client(client.id, message, now=now))

    def client_left(self, client: Client) -> None:
        self.fanout.remove(client)
        self.router.client_left(client.id)

    def asker_connected(self, heard: Callable[[ToClient], None]) -> str:
        """A client in this process that only commands: `heard` gets its receipts, perhaps before
        `from_asker` returns. Its name is returned; end it with `asker_left`.
        """
        asker = secrets.token_hex(8)
        self._askers[asker] = heard
        return asker

    def from_asker(self, asker: str, command: Command) -> None:
        """A command that is already checked. Ends in exactly one receipt."""
        self._deliver(self.router.from_client(asker, command, now=self._clock()))

    def asker_left(self, asker: str) -> None:
        del self._askers[asker]
        self.router.client_left(asker)

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            match delivery:
                case ToAll(message=message):
                    if isinstance(message, GatewayState):
                        self._states.info(
                            "gateway %s: %s", message.name, message.state, now=self._timer.time()
                        )
                    self.fanout.publish(delivery)
                    if self._listener is not None:
                        self._listener.heard(message)
                case ToOneClient(message=message, client=client, command=command):
                    if client in self._askers:
                        self._askers[client](message)
                    else:
                        self.fanout.send(client, message)
                    self._tell_receipt(command, message)
                case ToOneGateway(message=message, gateway=gateway):
                    self._tell_command(message)
                    if isinstance(message, Problem):
                        self._refusals.warning(
                            "gateway link %s was refused: %s",
                            gateway,
                            message.detail,
                            now=self._timer.time(),
                        )
                    if gateway in self._links:
                        self._links[gateway].send(message)
                    self._watch_commands()
                case CloseGateway(gateway=gateway, reason=reason):
                    if gateway in self._links:
                        self._links[gateway].close(reason)

    def _tell_command(self, message: ToGateway) -> None:
        if self._listener is not None and isinstance(message, Command):
            self._listener.command_given(message, self._unix_time())

    def _tell_receipt(self, command: Command | None, message: ToClient) -> None:
        if not isinstance(message, Receipt):
            return
        self.receipts[message.state] += 1
        if message.state == "confirmed":
            self.command_seconds.observe(message.elapsed_ms / 1000)
        if self._listener is not None and command:
            self._listener.command_ended(command, message, self._unix_time())

    def _watch_commands(self) -> None:
        if not self._expiry_due and self.router.commands:
            self._expiry_due = True
            self._timer.call_later(_EXPIRY_INTERVAL_S, self._expire)

    def _expire(self) -> None:
        self._expiry_due = False
        self._deliver(self.router.expire(self._clock()))
        self._watch_commands()


async def round_trip(broker: Broker, timeout_s: float = 2.0) -> str:
    """Join as a client and wait for the answer. Returns what is wrong, or nothing."""
    answered = asyncio.Event()

    class _Probe:
        def write(self, data: bytes) -> None:
            if b'"joined"' in data:
                answered.set()

        def buffered(self) -> int:
            return 0

        def close(self, code: int, reason: str) -> None:
            """Nothing to close: the probe is not a socket."""

    probe = broker.client_connected(_Probe(), extended=True)
    try:
        # A probe needs the answer, not the nodes: nothing has this uid.
        broker.from_client(probe, Subscribe(uids=()))
        broker.from_client(probe, Join(data="client"))
        async with asyncio.timeout(timeout_s):
            await answered.wait()
    except TimeoutError:
        return f"a client that joined got no answer in {timeout_s:.0f} s"
    finally:
        broker.client_left(probe)
    return ""
