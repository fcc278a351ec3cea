# SPDX-License-Identifier: BSD-3-Clause
"""A broker in a cluster: runs its cluster member on the event loop."""

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from pyaiot import __version__
from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.audit.entry import THIS_PROCESS, Principal
from pyaiot.broker.broker import Broker
from pyaiot.broker.cluster_state import ClusterState
from pyaiot.broker.deliveries import Delivery, ToAll
from pyaiot.broker.encoders import ARRAYS, Encoder
from pyaiot.broker.observers import BrokerObserver, Observers
from pyaiot.broker.subscriber import Sink, Subscriber
from pyaiot.cluster.flush_interval import FlushInterval
from pyaiot.cluster.member import GRACE_S, ClusterMember, is_broker
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.peer import refusal
from pyaiot.cluster.resumption import RecordedByAll, Resumption
from pyaiot.messages import (
    Checkpoint,
    Command,
    FromClient,
    Reading,
    ReadingsDropped,
    Receipt,
    RegisteredNode,
    Subscription,
    ToClient,
    ToGateway,
)
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.service import RegistryService

VIEW_DELAY_S: Final = 0.1
"""Delay after a change of the registry, so that the filters of clients have been updated."""
RESUME_LIMIT_S: Final = 6.0
"""How long a client that comes from another broker waits until the history has what it missed: a
broker that ended without a word is lost after 3 s. After that it gets a gap."""
LOOK_S: Final = 0.1
"""Between two looks at the recorder of this broker meanwhile."""
VALUES_LIMIT_S: Final = 1.0
"""How long such a request waits for values of other brokers. After that it is answered with those
received.
"""

log = logging.getLogger(__name__)

SendPacket = Callable[[str, bytes], None]


class _RemoteObservers(Observers):
    """They receive what other brokers report. Readings come only if somebody wants them."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def set_readings(self, observer: BrokerObserver, *, wanted: bool) -> None:
        super().set_readings(observer, wanted=wanted)
        self._changed()


class ClusteredBroker(Broker):
    """A broker that carries out the decisions of its router and its cluster member."""

    def __init__(self, *, name: str, **of_broker: Any) -> None:
        """`name`: the name of this broker, for people. `of_broker`: arguments of `Broker`."""
        nodes = OwnedNodes()
        super().__init__(nodes=nodes, **of_broker)
        self._loop = asyncio.get_running_loop()
        self.member = ClusterMember(
            secrets.token_hex(8), name, self.router, nodes, self._clock(), self._wake
        )
        self.member.version = __version__
        self.member.events_run = self.run
        self.fanout.complete_since = math.inf
        self.send_packet: SendPacket = lambda _run, _packet: None
        """Sends a packet to the broker with this run id, or to all."""
        self.link_state: Callable[[], tuple[str, int]] = lambda: ("not connected yet", 0)
        """Why there is no connection (empty if there is one), and the number of unsent bytes."""
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flush_at = 0.0
        self._flush_interval = FlushInterval()
        self._interest_due = False
        self._has_parts = True
        """See `ClusterMember.has_parts`."""
        self._values_changed = asyncio.Event()
        self._complete: set[str] = set()
        """Names of the brokers whose complete state has been received."""
        self._wrong_clocks: set[str] = set()
        """Brokers whose clock differs, as it was logged."""
        self._refused: set[str] = set()
        """Why brokers are refused, as it was logged."""
        self._all_values_until = 0.0
        self.remote_observers = _RemoteObservers(self._interest_changed)
        self.observers.elsewhere = self.remote_observers
        self.observers.leads = lambda: self.member.leads(self._clock())
        self._shared: RegistryService | None = None
        self._reading: asyncio.Task[None] | None = None
        self.observers.add(self)
        self.observers.set_readings(self, wanted=True)
        self.observers.of_registry.append(self.member.local.published)
        self.observers.of_registry.append(lambda _message: self._views_changed())

    def share_history(
        self, recorded: Callable[[int, float], float], late: Callable[[], float]
    ) -> None:
        """The history is that of all brokers: clients that come from another one get what they
        missed from it. `recorded`: see `HistoryService.recorded_until`; `late`: the largest age of
        readings.
        """
        fanout = self.fanout
        self.member.resumption = Resumption(self._unix_time())
        self.member.recorded = lambda now: (
            recorded(fanout.messages - fanout.recorded_elsewhere, now),
            max(0.0, late()),
        )

    async def missed_since(self, run: str, ts: float) -> float | str:
        """The Unix time from which the history has all that came after an event id of this run and
        time; or why there is none. Waits for the recorders of all brokers.
        """
        member = self.member
        if member.resumption is None:
            return "the id is not from this run of the broker"
        try:
            async with asyncio.timeout(RESUME_LIMIT_S):
                number = self._set_interest()
                await self._wait_until(lambda: member.has_values(number))
                now = self._clock()
                waiting = RecordedByAll()
                await self._wait_until(
                    lambda: (
                        waiting.is_reached(member.beacons)
                        and member.recorded(self._clock())[0] >= now
                    )
                )
        except TimeoutError:
            return "the history is behind"
        late_s = member.recorded(self._clock())[1]
        return member.resumption.start(run, ts, self._unix_time(), own=self.run, late_s=late_s)

    async def _wait_until(self, reached: Callable[[], bool]) -> None:
        """Check again with each packet of another broker, and regularly for our own recorder."""
        while not reached():
            self._values_changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._values_changed.wait()

    async def run_member(self) -> None:
        """Run until cancelled. Then notify the other brokers that this one leaves."""
        try:
            while True:
                self.member.clients = len(self.fanout.clients)
                self.deliver_remote(self.member.handle_timer(self._clock(), self._unix_time()))
                self._log_brokers()
                self._flush()
                await asyncio.sleep(max(0.0, self.member.get_timer() - self._clock()))
        finally:
            self.member.leave(self._clock(), self._unix_time())
            self._flush()

    def cluster_state(self) -> ClusterState:
        problem, queued_bytes = self.link_state()
        state = self.member.state(self._clock())
        return msgspec.structs.replace(state, problem=problem, queued_bytes=queued_bytes)

    def share_documents(self, registry: RegistryService) -> None:
        """Documents of this registry are those of all brokers."""
        self._shared = registry
        registry.documents.changed_here.append(self.member.local.documents_set)

    def _log_brokers(self) -> None:
        """Log the brokers that joined, are lost, have a wrong clock or are refused."""
        complete = {peer.beacon.name for peer in self.member.peers.values() if peer.is_complete}
        if complete != self._complete:
            for name in sorted(complete - self._complete):
                log.info("cluster: all nodes of %s are known", name)
                if self._shared is not None and (self._reading is None or self._reading.done()):
                    # What it set while it could not be reached is in the database.
                    self._reading = asyncio.create_task(self._shared.read_documents_again())
            for name in sorted(self._complete - complete):
                log.warning("cluster: %s is lost, or its state is not complete", name)
            self._complete = complete
        wrong = {
            peer.beacon.name: peer.ahead_s for peer in self.member.peers.values() if peer.ahead_s
        }
        for name in sorted(wrong.keys() - self._wrong_clocks):
            log.warning(
                "cluster: the clock of %s is %.0f s %s ours: readers of /api/events get a gap when"
                " they change the broker. Synchronise the clocks of all brokers (NTP)",
                name,
                abs(wrong[name]),
                "ahead of" if wrong[name] > 0 else "behind",
            )
        self._wrong_clocks = set(wrong)
        refused = {refusal(beacon) for beacon, _ in self.member.incompatible}
        if refused != self._refused:
            for text in sorted(refused - self._refused):
                log.error("cluster: %s", text)
            self._refused = refused

    def receive_packet(self, packet: bytes) -> None:
        """Handle a packet from another broker."""
        self.deliver_remote(self.member.receive_packet(packet, self._clock(), self._unix_time()))
        if self._shared is not None and (documents := self.member.take_documents()):
            self._shared.documents.set_elsewhere(documents)
        if seen := self.member.take_seen():
            self.fanout.note_seen(seen)
        if self.member.has_parts != self._has_parts:
            self._interest_changed()
        self._values_changed.set()
        if self.member.has_packets:
            self._wake(urgent=True)

    def deliver_remote(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver messages about nodes of other brokers to clients. The other brokers record them
        in the history.
        """
        readings: list[Reading] = []
        sequences: list[int] = []
        others: list[Delivery] = []
        before = self.fanout.messages
        self.remote_observers.published([it for it in deliveries if type(it) is ToAll])
        if self.fanout.views and any(
            type(it) is ToAll and type(it.message) is RegisteredNode for it in deliveries
        ):
            self._views_changed()
        for delivery in deliveries:
            if type(delivery) is ToAll:
                if type(delivery.message) is Reading:
                    readings.append(delivery.message)
                    sequences.append(delivery.sequence)
                    continue
                self.fanout.publish_readings(readings, sequences)
                readings, sequences = [], []
                self.fanout.publish(delivery)
            else:
                others.append(delivery)
        self.fanout.publish_readings(readings, sequences)
        self.fanout.recorded_elsewhere += self.fanout.messages - before
        if others:
            self._deliver(others)

    # -- packets --------------------------------------------------------------------------------

    def _wake(self, urgent: bool) -> None:
        self._flush_by(self._flush_interval.next_flush(urgent=urgent))

    def _flush_by(self, at: float) -> None:
        if self._flush_timer is not None:
            if self._flush_at <= at:
                return
            self._flush_timer.cancel()
        self._flush_at = at
        self._flush_timer = self._loop.call_at(max(at, self._loop.time()), self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        for run, packet in self.member.packets_to_send():
            self.send_packet(run, packet)
        self._flush_interval.flushed(self.member.out.items, self._loop.time())
        if self.member.has_jobs:
            # Others get a turn between two parts of a snapshot.
            self._flush_by(0.0)

    # -- observers.BrokerObserver ---------------------------------------------------------------

    def message_published(self, message: ToClient) -> None:
        self.member.local.published(message)

    def readings_published(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.member.local.published(reading)

    def command_sent(self, command: Command, ts: float, who: str) -> None:
        """Not recorded here: the broker of the client does."""

    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str) -> None:
        """Not recorded here: the broker of the client does."""

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        """Recorded by this broker only."""

    # -- what a broker alone does otherwise -------------------------------------------------------

    def _gateway_lost(self, gateway: int) -> None:
        """Give the gateway some time to reconnect, here or to another broker."""
        self._away.set_away(gateway, limit_s=GRACE_S)
        self.member.local.gateways_changed()

    def _lose_gateway(self, gateway: int) -> None:
        super()._lose_gateway(gateway)
        self.member.local.gateways_changed()

    def _confirm_later(self, gateway: int, checkpoint: Checkpoint) -> None:
        self._deliver(self.member.local.announced(gateway, self._unix_time()))
        super()._confirm_later(gateway, checkpoint)

    def _send_to_gateway(self, gateway: int, message: ToGateway) -> None:
        if gateway >= 0:
            super()._send_to_gateway(gateway, message)
        elif isinstance(message, Command):
            now, ts = self._clock(), self._unix_time()
            self._deliver(self.member.command(gateway, message, now, ts))

    def _send_to_one(self, client: str, message: ToClient) -> None:
        if not is_broker(client):
            super()._send_to_one(client, message)
        elif isinstance(message, Receipt):
            self.member.command_ended(client, message, self._clock())

    def _report_command(self, message: ToGateway) -> None:
        if not (isinstance(message, Command) and is_broker(message.client)):
            super()._report_command(message)

    def _report_receipt(self, command: Command | None, message: ToClient) -> None:
        if command is None or not is_broker(command.client):
            super()._report_receipt(command, message)

    def people_edited(self, changed: NodeRecord) -> NodeRecord:
        record = super().people_edited(changed)
        self.member.local.edited(record)
        return record

    def people_forgot(self, uid: str, now: float) -> None:
        super().people_forgot(uid, now)
        self.member.local.forgotten(uid)

    def people_restored(self, record: NodeRecord) -> NodeRecord:
        restored = super().people_restored(record)
        self.member.local.edited(restored)
        return restored

    def take_touched_uids(self) -> list[str]:
        nodes = self.router.nodes.take_touched()
        return [node.uid for node in nodes if node.gateway >= 0 and not node.is_waiting]

    # -- of which nodes the clients need values ---------------------------------------------------

    def client_connected(
        self,
        sink: Sink,
        encoder: Encoder = ARRAYS,
        *,
        may_command: bool = True,
        principal: Principal = THIS_PROCESS,
        scope: Scope = EVERYTHING,
        client_id: str = "",
    ) -> Subscriber:
        client = super().client_connected(
            sink,
            encoder,
            may_command=may_command,
            principal=principal,
            scope=scope,
            client_id=client_id,
        )
        self._interest_changed()
        return client

    def reader_connected(
        self, sink: Sink, encoder: Encoder, request: Subscription, scope: Scope = EVERYTHING
    ) -> Subscriber:
        reader = super().reader_connected(sink, encoder, request, scope)
        self._interest_changed()
        return reader

    def from_client(self, client: Subscriber, message: FromClient) -> None:
        super().from_client(client, message)
        if isinstance(message, Subscription):
            self._interest_changed()

    def client_left(self, client: Subscriber) -> None:
        super().client_left(client)
        self._interest_changed()

    def _interest_changed(self) -> None:
        """Compute the interest in the next iteration of the event loop: a new client subscribes a
        moment after it connects.
        """
        if not self._interest_due:
            self._interest_due = True
            self._loop.call_later(0.0, self._set_interest)

    def _views_changed(self) -> None:
        """The next flush may add nodes to the views of clients, or remove some."""
        if not self._interest_due and self.fanout.views:
            self._interest_due = True
            self._loop.call_later(VIEW_DELAY_S, self._set_interest)

    def _set_interest(self) -> int:
        self._interest_due = False
        wanted: set[str] | None = set()
        named: set[str] = set()
        has_parts = self._has_parts = self.member.has_parts
        if self._loop.time() < self._all_values_until or self.remote_observers.need_readings:
            wanted = None
        for client in self.fanout.clients.values():
            if wanted is None:
                break
            uids, part = client.uids, client.part if has_parts else None
            if part is not None:
                uids = part.uids if uids is None else part.uids & uids
                named |= part.named
            wanted = None if uids is None else wanted | uids
        if wanted is not None:
            self.fanout.complete_since = math.inf
        elif self.fanout.complete_since == math.inf:
            self.fanout.complete_since = self._unix_time()
        seen = any(client.has_part for client in self.fanout.clients.values())
        return self.member.local.set_interest(wanted, named, seen=seen)

    @property
    def values_known(self) -> Callable[[float], Awaitable[None]]:
        return self._await_values

    async def _await_values(self, kept_s: float) -> None:
        """Wait for the values of all nodes, for a request that reads them. Returns after
        `VALUES_LIMIT_S` at the latest. They continue to be received for `kept_s`.
        """
        now = self._loop.time()
        if now >= self._all_values_until:
            self._loop.call_later(kept_s, self._check_interest)
        self._all_values_until = max(self._all_values_until, now + kept_s)
        number = self._set_interest()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VALUES_LIMIT_S):
                while not self.member.has_values(number):
                    self._values_changed.clear()
                    await self._values_changed.wait()

    def _check_interest(self) -> None:
        left_s = self._all_values_until - self._loop.time()
        if left_s > 0:
            self._loop.call_later(left_s, self._check_interest)
        else:
            self._interest_changed()
