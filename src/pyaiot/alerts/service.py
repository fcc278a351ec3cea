# SPDX-License-Identifier: BSD-3-Clause
"""Runs alerts in a broker: evaluates rules, stores their state, sends notices and commands.

It observes the broker and never delays a reading. Edited rules are on disk before they take
effect. The state of alerts is written with the registry, one second later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from pyaiot.alerts.actions import RuleActions
from pyaiot.alerts.alert import Alert
from pyaiot.alerts.channels import Channels, Sender
from pyaiot.alerts.engine import AlertEngine
from pyaiot.alerts.rule import LIMITS, Rule
from pyaiot.alerts.rule_book import ALERT, MAINTENANCE, RULE, RuleBook, UnknownRule
from pyaiot.alerts.rules_file import AlertsFile
from pyaiot.alerts.watches import AlertChange, Subject
from pyaiot.broker.broker import Broker
from pyaiot.messages import (
    AlertsChanged,
    Command,
    GatewayState,
    NodeAppeared,
    NodeForgotten,
    NodeLeft,
    Reading,
    ReadingsDropped,
    Receipt,
    RegisteredNode,
    ToClient,
)
from pyaiot.registry.service import RegistryService
from pyaiot.transport.timer import wait_for_check

CHANGED_INTERVAL_S: Final = 1.0
"""Shortest interval between two `alerts changed` messages to clients."""
LEADER_INTERVAL_S: Final = 1.0
"""Interval of the check whether this broker of a cluster is the one that watches for alerts."""
REMINDER_INTERVAL_S: Final = 15.0
"""Interval of the check for alerts whose snooze or maintenance has ended."""
STORE_LIMIT_S: Final = 10.0
"""How long the start waits for stored rules and alerts. After that only the rules of the file
apply, until the registry can be read.
"""

log = logging.getLogger(__name__)


class AlertService:
    """Runs alerts. The constructor starts nothing; `running` does. Must be used on the broker's
    event loop.
    """

    def __init__(
        self,
        broker: Broker,
        registry: RegistryService,
        file: AlertsFile,
        sender: Sender,
        *,
        unix_time: Callable[[], float],
    ) -> None:
        """`file`: channels, and rules that cannot be edited here."""
        self._broker = broker
        self._registry = registry
        self.book = RuleBook(registry, file.rules)
        self._urls = file.channels
        self.unix_time = unix_time
        self._clock = asyncio.get_running_loop().time
        self.engine = AlertEngine(self._subject)
        self.channels = Channels(sender, self._clock)
        self.actions = RuleActions(broker, self._clock)
        self.raised = 0
        """Number of alerts raised since the start."""
        self.version = 0
        """Incremented by each change of alerts, rules and maintenance windows."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._announcement: asyncio.TimerHandle | None = None
        self._is_started = False
        """Whether the rules are watched here: of the brokers of a cluster, one does."""
        others = broker.observers.elsewhere
        self._observed = [broker.observers, *([] if others is None else [others])]
        registry.documents.changed_elsewhere.append(self._changed_elsewhere)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Context manager: evaluate rules while the block runs."""
        self.channels.set_urls(self._urls)
        for observers in self._observed:
            observers.add(self)
            observers.of_registry.append(self._registry_changed)
        self._registry.views.checks.append(self.book.views.check_view)
        self._registry.views.observers.append(self._views_changed)
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._start(), name="start of alerts"),
                tasks.create_task(self.channels.run(), name="channels of alerts"),
                tasks.create_task(self._remind(), name="reminders of alerts"),
            ]
            if self._broker.observers.elsewhere is not None:
                work.append(tasks.create_task(self._follow_leader(), name="leader of alerts"))
            try:
                yield
            finally:
                for task in work:
                    task.cancel()
                for observers in self._observed:
                    observers.remove(self)
                    observers.of_registry.remove(self._registry_changed)
                self._registry.views.checks.remove(self.book.views.check_view)
                self._registry.views.observers.remove(self._views_changed)
                for handle in (self._timer, self._announcement):
                    if handle is not None:
                        handle.cancel()
                self.actions.keep_rules(())

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(STORE_LIMIT_S):
                await self._registry.loaded.wait()
        except TimeoutError:
            log.warning("alerts start without the stored rules: the registry was not read")
        self._load()
        await self._registry.loaded.wait()
        self._load()

    def _load(self) -> None:
        """Load rules, maintenance windows and alerts from the registry, and start with them."""
        alerts = self.book.read()
        if self._is_started or not self._broker.observers.leads():
            self.apply_rules()
            return
        self.engine.watches.load(alerts)
        rules = self.book.rules()
        self.book.views.set_rules(rules)
        self.engine.started(rules, self._offline(), now=self._clock(), ts=self.unix_time())
        self._want_readings(wanted=self.engine.needs_readings)
        self._is_started = True
        self._drain()

    def _want_readings(self, *, wanted: bool) -> None:
        for observers in self._observed:
            observers.set_readings(self, wanted=wanted)

    async def _follow_leader(self) -> None:
        """Evaluate the rules while this broker leads the cluster. Alerts survive a new leader."""
        await self._registry.loaded.wait()
        while True:
            await wait_for_check(LEADER_INTERVAL_S)
            leads = self._broker.observers.leads()
            if leads and not self._is_started:
                log.info("alerts: this broker evaluates the rules from now on")
                self._load()
                await self._read_values()
            elif self._is_started and not leads:
                log.info("alerts: another broker evaluates the rules from now on")
                self._is_started = False
                self._want_readings(wanted=False)
                self.actions.keep_rules(())
                self.engine = AlertEngine(self._subject)
                self._drain()

    async def _read_values(self) -> None:
        """Apply the current values: they may have changed while no broker watched."""
        if self._broker.values_known is not None:
            await self._broker.values_known(LEADER_INTERVAL_S)
        for node in self._broker.router.nodes:
            if not node.is_waiting:
                self.readings_published(tuple(node.readings.values()))

    def _changed_elsewhere(self, kinds: frozenset[str]) -> None:
        """Another broker of the cluster changed rules, maintenance or alerts."""
        if ALERT in kinds and self._is_started:
            by_key = {(it.id, it.raised): it for it in self.book.alerts()}
            for alert in self.engine.watches.active.values():
                stored = by_key.get((alert.id, alert.raised))
                if stored is not None:
                    alert.acknowledged = stored.acknowledged
                    alert.acknowledged_by = stored.acknowledged_by
                    alert.snoozed_until = stored.snoozed_until
        if kinds & {RULE, MAINTENANCE}:
            self.book.read()
            self.apply_rules()
        elif ALERT in kinds:
            self.changed()

    def set_file(self, file: AlertsFile) -> None:
        """Replace the rules and channels of the file."""
        self.book.file_rules = dict(file.rules)
        self.channels.set_urls(file.channels)
        self.apply_rules()

    def apply_rules(self) -> None:
        """Apply the rules of the book after a change."""
        rules = self.book.rules()
        self.book.views.set_rules(rules)
        if not self._is_started:
            self.changed()
            return
        self.engine.set_rules(rules, self._offline(), now=self._clock(), ts=self.unix_time())
        self.actions.keep_rules(self.engine.rules)
        self._want_readings(wanted=self.engine.needs_readings)
        self._drain()
        self.changed()

    # -- what people do ---------------------------------------------------------------------------

    def alerts(self) -> list[Alert]:
        """The active alerts, latest first, followed by the cleared ones."""
        watches = self.engine.watches
        found = [*watches.active.values(), *watches.cleared]
        if not self._is_started:
            found = self.book.alerts()
        return sorted(found, key=lambda it: (bool(it.cleared), _newest_first(it)))

    def rules_with_limits(self, uid: str) -> list[Rule]:
        """The rules that compare numbers of a node with a limit, and are enabled."""
        subject = self._subject(uid)
        if subject is None:
            return []
        return [
            rule
            for _, rule in sorted(self.book.rules().items())
            if rule.enabled and rule.when in LIMITS and subject.matches(rule)
        ]

    async def add_maintenance(self, table: dict[str, Any]) -> str:
        """See `RuleBook.add_maintenance`."""
        name = await self.book.add_maintenance(table, self.unix_time())
        self.changed()
        return name

    def acknowledge(self, ids: Iterable[str], who: str) -> list[Alert]:
        """Acknowledge these active alerts. Raises `UnknownRule`."""
        found = self.active(ids)
        for alert in found:
            alert.acknowledged, alert.acknowledged_by = self.unix_time(), who
        self._store(found)
        return found

    def snooze(self, ids: Iterable[str], seconds: float) -> list[Alert]:
        """Snooze these active alerts; 0 ends that. Raises `UnknownRule`."""
        found = self.active(ids)
        for alert in found:
            alert.snoozed_until = self.unix_time() + seconds if seconds else 0.0
        self._store(found)
        return found

    def active(self, ids: Iterable[str]) -> list[Alert]:
        """The active alerts with these ids. Raises `UnknownRule` if one of them is not active."""
        by_id = {alert.id: alert for alert in self.alerts() if not alert.cleared}
        try:
            return [by_id[it] for it in ids]
        except KeyError as error:
            raise UnknownRule("there is no such active alert") from error

    # -- `broker.observers.BrokerObserver` --------------------------------------------------------

    def readings_published(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.message_published(reading)

    def message_published(self, message: ToClient) -> None:
        if not self._is_started:
            return
        if type(message) is Reading and not self.engine.is_watched(message.resource):
            return
        now, ts = self._clock(), self.unix_time()
        match message:
            case Reading():
                self.engine.receive_reading(message, now=now, ts=ts)
            case NodeAppeared(uid=uid):
                self.engine.node_online(uid, now=now, ts=ts)
            case NodeLeft(uid=uid, reason=reason):
                record = self._registry.registry.get(uid)
                gateway = "" if record is None else record.gateway
                self.engine.node_offline(uid, reason, gateway, now=now)
            case GatewayState(name=name, state="lost"):
                self.engine.gateway_lost(name, now=now, ts=ts)
            case GatewayState(name=name):
                self.engine.gateway_connected(name, now=now, ts=ts)
            case _:
                return
        self._drain()

    def command_sent(self, command: Command, ts: float, who: str) -> None:
        pass  # its receipt counts

    def command_ended(
        self,
        command: Command,
        receipt: Receipt,
        ts: float,
        who: str,  # noqa: ARG002 - rules do not depend on it
    ) -> None:
        # A command that was not sent does not show the state of the node.
        if not self._is_started or not command.id:
            return
        self.engine.command_ended(
            *(command.uid, command.resource, receipt.state, receipt.detail),
            now=self._clock(),
            ts=ts,
        )
        self._drain()

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        pass  # no alert is about lost readings

    def _registry_changed(self, message: ToClient) -> None:
        if not self._is_started:
            return
        now, ts = self._clock(), self.unix_time()
        match message:
            case NodeForgotten(uid=uid):
                self.engine.node_forgotten(uid, ts=ts)
            case RegisteredNode(uid=uid, state="waiting" | "banned"):
                self.engine.node_forgotten(uid, ts=ts)
            case RegisteredNode(uid=uid, state=state, reason=reason, last_seen=seen):
                is_offline = state == "offline" and reason != "gateway lost" and seen > 0
                self.engine.node_edited(uid, is_offline=is_offline, now=now, ts=ts)
            case _:
                return
        self._drain()

    def _views_changed(self) -> None:
        """Rules that refer to a view may apply to other nodes now."""
        if not self._is_started:
            return
        rules = self.book.rules()
        self.book.views.set_rules(rules)
        if not any(rule.view for rule in rules.values()):
            return
        now, ts, offline = self._clock(), self.unix_time(), set(self._offline())
        for uid in list(self._registry.registry.records):
            self.engine.node_edited(uid, is_offline=uid in offline, now=now, ts=ts)
        self._drain()

    # -- results ----------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Carry out the decisions of the engine, and set its timer."""
        changed: list[Alert] = []
        while (change := self.engine.next_change()) is not None:
            self._carry_out(change)
            changed.append(change.alert)
        if changed:
            self._store(changed)
        due = self.engine.get_timer()
        # The handle cannot be used: that of uvloop has no time after its time has passed.
        if self._timer is not None and (due is None or self._timer_due > due):
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            self._timer_due = due
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.engine.handle_timer(now=self._clock(), ts=self.unix_time())
        self._drain()

    def _carry_out(self, change: AlertChange) -> None:
        alert, rule, ts = change.alert, change.rule, self.unix_time()
        if change.phase == "raised":
            self.raised += 1
            alert.muted = self.book.is_muted(self._subject_of(alert), ts)
        if alert.muted or alert.snoozed_until > ts:
            return
        self.channels.add(rule.channels, change.phase, alert)
        command = rule.on_raise if change.phase == "raised" else rule.on_clear
        if command is not None and rule.enabled:
            self.actions.send(command, alert)

    async def _remind(self) -> None:
        """Send notices for alerts that are still active when their snooze or maintenance ends."""
        while True:
            await asyncio.sleep(REMINDER_INTERVAL_S)
            ts = self.unix_time()
            found = [it for it in self.engine.watches.active.values() if self._wakes(it, ts)]
            for alert in found:
                alert.muted, alert.snoozed_until = False, 0.0
                rule = self.engine.rules.get(alert.rule)
                if rule is not None and not alert.acknowledged:
                    self.channels.add(rule.channels, "raised", alert)
            if found:
                self._store(found)

    def _wakes(self, alert: Alert, ts: float) -> bool:
        if alert.muted:
            return not self.book.is_muted(self._subject_of(alert), ts)
        return 0 < alert.snoozed_until <= ts

    def _subject_of(self, alert: Alert) -> Subject:
        found = self._subject(alert.uid) if alert.uid else None
        return found or Subject(alert.uid, gateway=alert.gateway)

    def _store(self, alerts: Iterable[Alert]) -> None:
        gone, self.engine.watches.gone = self.engine.watches.gone, []
        self.book.store_alerts(alerts, gone)
        self.changed()

    def changed(self) -> None:
        """Notify clients of a change, at most once a second."""
        self.version += 1
        if self._announcement is None:
            loop = asyncio.get_running_loop()
            self._announcement = loop.call_later(CHANGED_INTERVAL_S, self._announce)

    def _announce(self) -> None:
        self._announcement = None
        self._broker.publish_to_registry_clients(AlertsChanged(version=self.version))

    # -- parts ------------------------------------------------------------------------------------

    def _offline(self) -> list[str]:
        """Registered nodes that are offline, except those whose gateway is lost."""
        return [
            record.uid
            for record in self._registry.registry.records.values()
            if record.state == "offline" and record.last_seen
        ]

    def _subject(self, uid: str) -> Subject | None:
        record = self._registry.registry.get(uid)
        if record is None or record.admission != "accepted":
            return None
        added = record.annotations
        views = self.book.views.views_of(record)
        return Subject(uid, added.tags, added.room, record.gateway, views)


def _newest_first(alert: Alert) -> float:
    return -(alert.cleared or alert.raised)
