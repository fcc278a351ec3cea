# SPDX-License-Identifier: BSD-3-Clause
"""The part that all gateways share: nodes, and the link to the broker.

The gateway of a protocol implements `DeviceSide` and calls `node_seen`, `reading`, `reset` and
`left`.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from pyaiot import __version__
from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import LinkLost
from pyaiot.gateways.command_runner import CommandRunner, DeviceSide, Outcome
from pyaiot.gateways.device_watch import DeviceWatch
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.pending_reports import PendingReports
from pyaiot.gateways.rejections import Rejections
from pyaiot.gateways.send_pace import SendPace
from pyaiot.gateways.unconfirmed import Unconfirmed
from pyaiot.links import Link
from pyaiot.messages import (
    Checkpoint,
    Command,
    FromGateway,
    Hello,
    LeftReason,
    NodeAppeared,
    NodeEvent,
    NodeLeft,
    NodeRules,
    NodesSeen,
    Problem,
    Receipt,
    ToGateway,
    TopicMappings,
)
from pyaiot.transport.backoff import STEADY_LINK_S, Backoff
from pyaiot.transport.pauses import PAUSED_MIN_S
from pyaiot.transport.rate_limit import RateLimitedLog

SEEN_INTERVAL_S: Final = 5.0
"""Interval between reports of nodes whose signs of life caused no event."""
SEEN_NODES_MAX: Final = 1000
"""Largest number of nodes in one such report. More are sent in several reports."""
_OFFLINE_CHECK_STEP_S: Final = 0.01
"""Shortest interval between two checks for offline nodes."""
CHECKPOINT_INTERVAL_S: Final = 0.5
"""Delay after an event before a confirmation is requested from the broker."""
CLOCK_INTERVAL_S: Final = 10.0
"""Interval at which a gateway sends its clock to the broker, for the deadlines of commands."""

__all__ = ["ConnectToBroker", "DeviceSide", "Gateway", "GatewayLink", "Outcome"]

log = logging.getLogger(__name__)

GatewayLink: TypeAlias = Link[ToGateway, FromGateway]
ConnectToBroker: TypeAlias = Callable[[], Awaitable[GatewayLink]]


def _ignore(_uid: str) -> None:
    pass


class Gateway:
    """Reports the nodes of one protocol to one broker, and executes its commands."""

    def __init__(
        self,
        *,
        name: str,
        protocol: str,
        nodes: LiveNodes,
        loop: asyncio.AbstractEventLoop,
        unix_time: Callable[[], float],
        backoff: Backoff | None = None,
        devices: DeviceStore | None = None,
        group: str = "",
    ) -> None:
        """`devices`: the credentials of devices; `nodes` asks the same store. `group`: see
        `Hello.group`."""
        self.nodes = nodes
        self.devices = DeviceStore(None) if devices is None else devices
        self.device_watch = DeviceWatch(
            *(self.devices, nodes, loop, unix_time),
            evict=self.evict,
            report=self._report,
            send=self._send,
        )
        self._hello = Hello(
            name=name,
            protocol=protocol,
            version=__version__,
            accepts_rules=True,
            instance=secrets.token_hex(8),
            group=group,
        )
        self._loop, self._now = loop, loop.time
        self.unix_time = unix_time
        self._backoff = backoff or Backoff(steady_s=STEADY_LINK_S)
        self.links_made = 0
        """Number of links to the broker."""
        self.link_failures = 0
        """Number of links that were lost or could not be made."""
        self.refused = 0
        """Number of messages that the broker refused."""
        self.rejections = Rejections(loop, unix_time, self._send)
        self._conflated = 0
        """Number of readings that were conflated on lost links."""
        self._events: list[NodeEvent] = []
        """Reports that are not sent yet."""
        self._pace = SendPace()
        self._unconfirmed = Unconfirmed()
        self._checkpoint_due = False
        self._clock_timer: asyncio.TimerHandle | None = None
        self.evicted: Callable[[str], None] = _ignore
        """Called with the uid of each node that was evicted to make room for another one."""
        self.on_mappings: Callable[[TopicMappings], None] | None = None
        """Called with each `mappings` message of the broker; None: this gateway maps no topics."""
        self._link: GatewayLink | None = None
        self.was_linked = asyncio.Event()
        """Set with the first link, and never cleared."""
        self._pending_reports = PendingReports()
        self._commands = CommandRunner(nodes, self._pending_reports, loop, self._send_receipt)
        self._first_node = asyncio.Event()
        self._timer_changed = asyncio.Event()
        self._seen_timer: asyncio.TimerHandle | None = None
        self._log_rarely = RateLimitedLog(log)

    @property
    def linked(self) -> bool:
        return self._link is not None

    @property
    def protocol(self) -> str:
        """The protocol of its nodes."""
        return self._hello.protocol

    @property
    def readings_dropped(self) -> int:
        """Number of readings that were dropped before the broker confirmed them."""
        return self._unconfirmed.dropped

    @property
    def commands_waiting(self) -> int:
        """Number of commands without an outcome."""
        return len(self._commands)

    def link_queue(self) -> tuple[int, int]:
        """Number of messages queued for the broker, and of readings that were conflated."""
        waiting, conflated = (0, 0) if self._link is None else self._link.queue
        return waiting, self._conflated + conflated

    # -- reports of the device side -----------------------------------------------------------

    def node_seen(
        self,
        uid: str,
        bookkeeping: Mapping[str, str],
        *,
        host: str = "",
        known_before: bool = False,
        secured: bool = False,
    ) -> None:
        """See `LiveNodes.node_seen`."""
        now, ts = self._now(), self.unix_time()
        self.report_nodes(
            self.nodes.node_seen(
                *(uid, bookkeeping),
                now=now,
                ts=ts,
                host=host,
                known_before=known_before,
                secured=secured,
            )
        )

    def report_nodes(self, events: Sequence[NodeEvent]) -> None:
        """Report what `nodes` returned for a sign of life. `evicted` is called for each node that
        was evicted."""
        self._report(events)
        for event in events:
            if isinstance(event, NodeLeft):
                self._pending_reports.left(event.uid)
                self.evicted(event.uid)
        self._first_node.set()

    @property
    def awaits_reports(self) -> bool:
        """Some commands are confirmed by a reading with their value."""
        return bool(self._pending_reports)

    def report_readings(
        self, events: Sequence[NodeEvent], live: Iterable[tuple[str, str, object]] = ()
    ) -> None:
        """Report what `nodes` returned for live readings. `live`: node, resource and value of each.
        They confirm commands, so they are needed only if the gateway `awaits_reports`. `events` may
        also contain earlier readings."""
        self._report(events)
        for uid, resource, data in live:
            self._pending_reports.receive_report(uid, resource, data)

    def reading(
        self,
        uid: str,
        resource: str,
        data: object,
        *,
        ts: float | None = None,
        unit: str | None = None,
        live: bool = True,
        retained: bool = False,
    ) -> None:
        """See `LiveNodes.reading`. `ts`: the time of an earlier reading; None: now.

        Only a live reading confirms a command.
        """
        now, ts = self._now(), self.unix_time() if ts is None else ts
        self._report(
            self.nodes.reading(
                uid, resource, data, now=now, ts=ts, unit=unit, live=live, retained=retained
            )
        )
        if live and not retained:
            self._pending_reports.receive_report(uid, resource, data)

    def command_refused(self, uid: str, resource: str, payload: str, why: str) -> None:
        """The node refused a command after it was sent. Without such a command, nothing happens."""
        self._pending_reports.refuse(uid, resource, payload, why)

    def take_turn(self, uid: str, *, readings: int = 1) -> None:
        """See `LiveNodes.take_turn`."""
        self.nodes.take_turn(uid, readings=readings, now=self._now())

    def reset(self, uid: str) -> None:
        """See `LiveNodes.reset`."""
        self._report(self.nodes.reset(uid, ts=self.unix_time()))

    def left(self, uid: str, reason: LeftReason) -> None:
        """See `LiveNodes.left`."""
        self._report(self.nodes.left(uid, reason, ts=self.unix_time()))
        self._pending_reports.left(uid)

    def evict(self, uid: str) -> None:
        """Remove a node, and let the device side forget it."""
        self.left(uid, "left")
        self.evicted(uid)

    def is_offline(self, uid: str) -> bool:
        """See `LiveNodes.is_offline`."""
        return self.nodes.is_offline(uid, now=self._now())

    # -- tasks of a running gateway -------------------------------------------------------------

    async def expire_offline_nodes(self, lost: Callable[[str], None]) -> None:
        """Run until cancelled. `lost` is called with the uid of each node that goes offline."""
        while True:
            self._first_node.clear()
            due = self.nodes.get_timer()
            if due is None:
                await self._first_node.wait()
                continue
            self._timer_changed.clear()
            due = max(due, self._now() + _OFFLINE_CHECK_STEP_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._timer_changed.wait()
            late_s = self._now() - due
            if late_s > PAUSED_MIN_S:
                self._log_rarely.warning(
                    "%s: this process was paused for %s s",
                    *(self._hello.name, round(late_s)),
                    now=self._now(),
                )
                # Messages that arrived during the pause are read first. Nodes whose messages did
                # not fit into the buffer of the socket send them again.
                await asyncio.sleep(min(late_s, self.nodes.offline_timeout_s))
            events = self.nodes.handle_timer(now=self._now(), ts=self.unix_time())
            self._report(events)
            for event in events:
                self._pending_reports.left(event.uid)
                lost(event.uid)

    async def keep_linked(self, connect: ConnectToBroker, device_side: DeviceSide) -> None:
        """Run until cancelled: connect to the broker, serve the link, and reconnect."""
        self.device_watch.start()
        try:
            await self._keep_linked(connect, device_side)
        finally:
            self.device_watch.close()

    async def _keep_linked(self, connect: ConnectToBroker, device_side: DeviceSide) -> None:
        reported = ""
        while True:
            try:
                link = await connect()
                self._backoff.connected(now=self._now())
                self.links_made += 1
                log.info("%s: linked to the broker", self._hello.name)
                reported = ""
                await self._serve(link, device_side)
            except LinkLost as lost:
                self.link_failures += 1
                # Logged once for each reason, not for each attempt.
                if str(lost) != reported:
                    reported = str(lost)
                    log.warning("%s: no broker: %s; trying again", self._hello.name, lost)
            await asyncio.sleep(self._backoff.failed(now=self._now()))

    async def _serve(self, link: GatewayLink, device_side: DeviceSide) -> None:
        def received(messages: Sequence[ToGateway]) -> None:
            for message in messages:
                match message:
                    case Command():
                        self._commands.start(message, device_side)
                    case Problem(detail=detail, uid=uid, owner=owner):
                        self.refused += 1
                        self._log_rarely.warning(
                            "%s: the broker refused: %s", self._hello.name, detail, now=self._now()
                        )
                        if owner:
                            self.nodes.claim_again(uid, now=self._now())
                    case Checkpoint():
                        self._unconfirmed.confirm(message)
                    case NodeRules():
                        self._apply_rules(message)
                    case TopicMappings():
                        if self.on_mappings is not None:
                            self.on_mappings(message)

        self._announce(link)
        self._link = link
        self.was_linked.set()
        self._clock_timer = self._loop.call_later(CLOCK_INTERVAL_S, self._send_clock)
        self._seen_timer = self._loop.call_later(SEEN_INTERVAL_S, self._send_seen)
        try:
            await link.run(received)
        finally:
            for timer in (self._clock_timer, self._seen_timer):
                if timer is not None:
                    timer.cancel()
            self._conflated += link.queue[1]
            self._link = None

    def _report(self, events: Sequence[NodeEvent]) -> None:
        """Queue events, which are reported together with others at lower cost: see `SendPace`."""
        if events and not self._events:
            self._loop.call_later(self._pace.delay_s(self._now()), self.send_events)
        self._events += events

    def send_events(self) -> None:
        """Send now what was reported."""
        events, self._events = self._events, []
        if not events:
            return
        self._pace.sent(self._now())
        link = self._link
        costs = self._unconfirmed.add_all(events)
        if link is None:
            return
        link.send_all(events, costs)
        if not self._checkpoint_due:
            self._checkpoint_due = True
            self._loop.call_later(CHECKPOINT_INTERVAL_S, self._send_checkpoint)

    def _send_checkpoint(self) -> None:
        self._checkpoint_due = False
        self.send_events()
        checkpoint = self._unconfirmed.checkpoint() if self._link is not None else None
        if checkpoint is not None:
            self._send(self._with_clock(checkpoint))

    def _send_clock(self) -> None:
        """Repeat the latest checkpoint, with the current clock."""
        if self._link is not None:
            checkpoint = Checkpoint(number=self._unconfirmed.checkpoint_sent)
            self._link.send(self._with_clock(checkpoint))
            self._clock_timer = self._loop.call_later(CLOCK_INTERVAL_S, self._send_clock)

    def _send_seen(self) -> None:
        """Report the nodes whose signs of life caused no event, so that the broker knows when they
        were last seen."""
        seen = list(self.nodes.take_seen_quietly())
        if self._link is not None:
            for start in range(0, len(seen), SEEN_NODES_MAX):
                uids = tuple(seen[start : start + SEEN_NODES_MAX])
                self._link.send(NodesSeen(uids=uids, ts=self.unix_time()))
            self._seen_timer = self._loop.call_later(SEEN_INTERVAL_S, self._send_seen)

    def _apply_rules(self, rules: NodeRules) -> None:
        uid = rules.uid
        self.nodes.apply_rules(uid, banned=rules.banned, offline_after_s=rules.offline_after_s)
        if rules.banned and uid in self.nodes:
            self.evict(uid)
        self._timer_changed.set()

    def _with_clock(self, checkpoint: Checkpoint) -> Checkpoint:
        return msgspec.structs.replace(checkpoint, clock=self._now())

    def _announce(self, link: GatewayLink) -> None:
        """Send the nodes and the unconfirmed events to a broker, which may have no state, in
        order."""
        self.send_events()
        maps = self.on_mappings is not None
        link.send(msgspec.structs.replace(self._hello, clock=self._now(), accepts_mappings=maps))
        for message in self.device_watch.announcement():
            link.send(message)
        gap = self._unconfirmed.gap()
        if gap is not None:
            link.send(gap)
            log.warning("%s: %d readings were dropped", self._hello.name, gap.lost)
        # By identity: these are sent below, in order, with the events before them.
        unconfirmed = set(map(id, self._unconfirmed))
        # A `new` is created when it is needed.
        appeared = {event.uid for event in self._unconfirmed if type(event) is NodeAppeared}
        for event in self.nodes.everything():
            is_new = type(event) is NodeAppeared and event.uid in appeared
            if not is_new and id(event) not in unconfirmed:
                link.send(event)
        for event in self._unconfirmed:
            link.send(event)
        self._unconfirmed.reset_checkpoint()
        if self.rejections.report is not None:
            link.send(self.rejections.report)
        checkpoint = self._unconfirmed.checkpoint()
        if checkpoint is not None:
            link.send(checkpoint)

    def _send_receipt(self, receipt: Receipt) -> None:
        if self._link is not None:
            self.send_events()  # the value that confirms the command comes first
            self._send(receipt)

    def _send(self, message: FromGateway) -> None:
        """Without a link, the message is dropped."""
        if self._link is not None:
            self._link.send(message)

    async def end_commands(self) -> None:
        """Cancel the waiting commands when the gateway ends."""
        self.rejections.close()
        await self._commands.cancel()
