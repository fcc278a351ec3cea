# SPDX-License-Identifier: BSD-3-Clause
"""Reports the devices of dialects to the gateway as nodes.

A value that is not retained is a sign of life. Availability topics and last wills put a node online
or offline at once. As for other nodes, retained values are not a sign of life.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import msgspec

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.mqtt.dialect_access import HOME_ASSISTANT, TopicOwners
from pyaiot.gateways.mqtt.dialects.dialect import (
    CommandRefused,
    DeviceChanged,
    DeviceMessage,
    DevicePresence,
    DeviceRemoved,
    DeviceValue,
    Dialect,
    DialectEvent,
    NotUnderstood,
    TopicsWanted,
)
from pyaiot.gateways.mqtt.dialects.mapping import MappingDialect
from pyaiot.gateways.mqtt.foreign_filters import FILTERS_MAX, ForeignFilters
from pyaiot.gateways.mqtt.retained import RetainedValues
from pyaiot.messages import NodeEvent
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.mqtt.client import Freshness, ReceivedMessage
from pyaiot.transport.rate_limit import RateLimitedLog

UNSTATED_TIMEOUT_S: Final = 3600.0
"""Offline timeout of a foreign device without an availability topic: many send once an hour."""
RETAINED_ONLINE_S: Final = 86_400.0
"""How long a retained availability message keeps a silent node online. The MQTT broker replaces it
by the last will of the device, unless the broker itself was killed."""

REPEATED_AFTER_S: Final = 3600.0
"""Interval after which the same device or topic is logged again with the same reason."""
LOGGED_MAX: Final = 1_000
"""Largest number of logged devices and topics that are remembered. Beyond it the oldest is
forgotten, and may be logged again."""

_WRONG_TYPES: Final = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
"""Exceptions of a dialect for a value that has an unexpected type."""

log = logging.getLogger(__name__)


class DialectNodes:
    """Reports the devices of some dialects as nodes. Serves one side of an MQTT broker."""

    def __init__(
        self,
        gateway: Gateway,
        dialects: Sequence[Dialect],
        *,
        name: str,
        now: Callable[[], float],
        check_claim: Callable[[str], None],
        publish: Callable[[DeviceMessage], None],
        subscribe: Callable[[Sequence[str]], None],
        unsubscribe: Callable[[Sequence[str]], None],
        owners: TopicOwners | None = None,
    ) -> None:
        """`check_claim` raises `Refused` for a uid that a foreign device may not have. `publish`,
        `subscribe` and `unsubscribe` send to the MQTT broker, without a guarantee. `owners` decides
        whose nodes a topic may be about; None: devices have no credentials."""
        self._gateway = gateway
        self._dialects = dialects
        self._name = name
        self._now = now
        self._check_claim = check_claim
        self._publish = publish
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._owners = owners
        self.not_understood = 0
        """Messages and parts of descriptions that were not understood, since the start."""
        self._dialect_of: dict[str, Dialect] = {}
        """By uid: bounded by the tables of the dialects."""
        self._described: dict[str, dict[str, str]] = {}
        """Details of online nodes as they were reported."""
        self._changed: dict[str, None] = {}
        """Nodes whose description has to be reported."""
        self._retained = RetainedValues()
        self._log = RateLimitedLog(log)
        self._logged: dict[tuple[str, str], float] = {}
        """The time of each logged reason, oldest first."""
        self._filters = ForeignFilters(dialects)

    def map_topics(self, saved: Sequence[TopicMapping]) -> None:
        """Use these mappings besides those of the settings, and subscribe to their topics."""
        before = set(self.filters)
        for dialect in self._dialects:
            if isinstance(dialect, MappingDialect):
                self._apply(dialect, dialect.set_saved(saved), retained=False)
        self._filters.changed()
        after = self.filters
        gone = before.difference(after)
        if gone:
            self._unsubscribe(sorted(gone))
        self._subscribe([it for it in dict.fromkeys(after) if it not in before])

    @property
    def filters(self) -> tuple[str, ...]:
        """All topic filters to subscribe to."""
        return self._filters.all

    @property
    def uids(self) -> list[str]:
        return list(self._dialect_of)

    def owns(self, uid: str) -> bool:
        """Whether a node is a foreign device of this side."""
        return uid in self._dialect_of

    def covers(self, topic: str) -> bool:
        """Whether messages on this topic arrive here, also if no dialect understands them."""
        return self._filters.covers(topic)

    def connected(self) -> None:
        """Limit how long retained availability keeps nodes online. The MQTT broker sends it again
        now, if it is still valid."""
        until = self._now() + RETAINED_ONLINE_S
        for uid in self._dialect_of:
            node = self._gateway.nodes.get(uid)
            if node is not None and node.kept_until > until:
                self._gateway.nodes.keep_until(uid, until)

    def receive(self, messages: Sequence[ReceivedMessage]) -> None:
        """Read messages that arrived together."""
        now, ts = self._now(), self._gateway.unix_time()
        found: list[NodeEvent] = []
        """Readings to report together. Any other event is reported after them."""
        awaits_reports = self._gateway.awaits_reports
        confirming: list[tuple[str, str, object]] = []
        for topic, payload, freshness in messages:
            retained = freshness is Freshness.RETAINED
            if self._filters.is_copy(topic, payload):
                continue
            understood = False
            for dialect in self._filters.readers(topic):
                try:
                    events = dialect.receive(topic, payload, retained=retained, now=now)
                    if events is None:
                        continue
                    understood = True
                    if self._owners is not None:
                        events = self._owned(self._owners, dialect, topic, events)
                    readings = None if retained else self._readings(dialect, events, now=now, ts=ts)
                    if readings is not None:
                        found += readings
                        confirming += _reported(events) if awaits_reports else ()
                    elif events:
                        self._gateway.report_readings(found, confirming)
                        found, confirming = [], []
                        self._apply(dialect, events, retained=retained)
                except (ProtocolError, Refused) as error:
                    understood = True
                    self._refuse(topic, str(error))
                except _WRONG_TYPES as error:
                    # No message of a device may end the connection of the gateway.
                    understood = True
                    self._refuse(topic, f"a value in it has the wrong type: {error!r}")
            if not understood and not retained:
                self._gateway.rejections.ignore(topic)
        self._gateway.report_readings(found, confirming)
        if self._changed:
            self._report_descriptions()

    def _owned(
        self, owners: TopicOwners, dialect: Dialect, topic: str, events: Sequence[DialectEvent]
    ) -> list[DialectEvent]:
        """The events about nodes that belong to the device that published on this topic."""
        kept: list[DialectEvent] = []
        for event in events:
            uid = getattr(event, "uid", None)
            try:
                if uid is not None:
                    owners.check(dialect.name, topic, uid)
            except Refused as error:
                self._refuse(uid or topic, str(error))
            else:
                kept.append(event)
        return kept

    def release(self, uid: str) -> None:
        """Forget a node that no longer belongs to this side."""
        self._remove(uid)
        if self._owners is not None:
            self._owners.forget(uid)

    def nodes_of(self, owner: str) -> list[str]:
        """The nodes of a credential."""
        return [] if self._owners is None else self._owners.of(owner)

    def _readings(
        self, dialect: Dialect, events: Sequence[DialectEvent], *, now: float, ts: float
    ) -> Sequence[NodeEvent] | None:
        """The readings of one online node, which is the most frequent case; None for anything else.
        Raises as `LiveNodes.unsolicited_reading`."""
        first = events[0] if events else None
        if type(first) is not DeviceValue:
            return None
        uid, resource, data, unit = first
        nodes = self._gateway.nodes
        node = nodes.get(uid)
        if node is None or self._dialect_of.get(uid) is not dialect:
            return None
        if len(events) == 1:
            found = nodes.unsolicited_reading(uid, resource, data, now=now, ts=ts, unit=unit)
        elif all(type(it) is DeviceValue and it[0] == uid for it in events):
            nodes.take_turn(uid, now=now, readings=len(events))
            found = []
            for _, resource, data, unit in cast("Sequence[DeviceValue]", events):
                try:
                    found += nodes.reading(uid, resource, data, now=now, ts=ts, unit=unit)
                except (ProtocolError, Refused) as error:
                    self._refuse(f"{uid} {resource}", str(error))
        else:
            return None
        if node.kept_until != math.inf:
            node.kept_until = now + UNSTATED_TIMEOUT_S
        return found

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        """The message of a command. Raises `ProtocolError`."""
        dialect = self._dialect_of[uid]
        message = dialect.command(uid, resource, text)
        if (
            self._owners is not None
            and dialect.name == HOME_ASSISTANT
            and not self._owners.may_use(uid, message.topic)
        ):
            raise ProtocolError("its command topic does not belong to the device")
        return message

    # -- events ---------------------------------------------------------------------------------

    def _apply(self, dialect: Dialect, events: Sequence[DialectEvent], *, retained: bool) -> None:
        values: list[DeviceValue] = []
        for event in events:
            if type(event) is DeviceValue:
                values.append(event)
                continue
            try:
                self._apply_one(dialect, event, retained=retained)
            except (ProtocolError, Refused) as error:
                # A message may be about several devices.
                self._refuse(getattr(event, "uid", dialect.title), str(error))
        if values:
            self._report_values(dialect, values, retained=retained)

    def _apply_one(self, dialect: Dialect, event: DialectEvent, *, retained: bool) -> None:
        match event:
            case DeviceChanged(uid=uid):
                self._claim(uid, dialect)
                self._changed[uid] = None
            case DevicePresence(uid=uid, online=online):
                self._claim(uid, dialect)
                self._set_presence(uid, online=online, retained=retained)
            case DeviceRemoved(uid=uid):
                if self._dialect_of.get(uid) is dialect:
                    self._remove(uid)
            case TopicsWanted(topics=topics):
                self._want(dialect, topics)
            case DeviceMessage():
                self._publish(event)
            case CommandRefused(uid=uid, resource=resource, text=text, why=why):
                self._gateway.command_refused(uid, resource, text, why)
            case NotUnderstood(what=what, why=why):
                self._refuse(what, why)

    def _claim(self, uid: str, dialect: Dialect) -> None:
        """Assign a uid to the first dialect that names it. Raises `Refused` for any other
        dialect."""
        owner = self._dialect_of.get(uid)
        if owner is None:
            self._check_claim(uid)
            self._dialect_of[uid] = dialect
        elif owner is not dialect:
            raise Refused(f"the node {uid} is a device of the dialect {owner.name}")

    def _report_values(
        self, dialect: Dialect, values: Sequence[DeviceValue], *, retained: bool
    ) -> None:
        """Report the values of one message, which may be of several devices."""
        of_device: dict[str, list[DeviceValue]] = {}
        for each in values:
            of_device.setdefault(each.uid, []).append(each)
        for uid, its_values in of_device.items():
            try:
                self._claim(uid, dialect)
                if not retained:
                    self._sign_of_life(uid)
                    self._gateway.take_turn(uid, readings=len(its_values))
            except (ProtocolError, Refused) as error:
                self._refuse(uid, str(error))
                continue
            for each in its_values:
                try:
                    self._report_value(each, retained=retained)
                except (ProtocolError, Refused) as error:
                    self._refuse(f"{uid} {each.resource}", str(error))

    def _report_value(self, value: DeviceValue, *, retained: bool) -> None:
        if retained:
            self._report_retained(value)
        else:
            self._gateway.reading(value.uid, value.resource, value.data, unit=value.unit)

    def _sign_of_life(self, uid: str) -> None:
        node = self._gateway.nodes.get(uid)
        if node is None:
            self._appear(uid)
            node = self._gateway.nodes.get(uid)
        if node is not None and node.kept_until != math.inf:
            node.kept_until = self._now() + UNSTATED_TIMEOUT_S

    def _report_retained(self, value: DeviceValue) -> None:
        node = self._gateway.nodes.get(value.uid)
        if node is None:
            self._retained.add(
                value.uid, value.resource, msgspec.json.encode((value.data, value.unit))
            )
        elif value.resource not in node.readings or node.readings[value.resource].retained:
            self._gateway.reading(
                value.uid, value.resource, value.data, unit=value.unit, retained=True
            )

    # -- presence -------------------------------------------------------------------------------

    def _set_presence(self, uid: str, *, online: bool, retained: bool) -> None:
        if not online:
            if uid in self._gateway.nodes:
                self._gateway.left(uid, "left")
            self._described.pop(uid, None)
            return
        if uid in self._gateway.nodes:
            self._gateway.node_seen(uid, {})
        else:
            self._appear(uid)
        until = self._now() + RETAINED_ONLINE_S if retained else math.inf
        self._gateway.nodes.keep_until(uid, until)

    def _appear(self, uid: str) -> None:
        """Report a node as online, with the values that were held for it. Raises as
        `Gateway.node_seen`."""
        self._gateway.node_seen(
            uid,
            {"protocol": self._gateway.protocol, "id": uid},
            secured=self._owners is not None,
        )
        self._described.pop(uid, None)
        self._report_description(uid)
        for resource, payload in self._retained.take(uid).items():
            data, unit = msgspec.json.decode(payload)
            try:
                self._gateway.reading(uid, resource, data, unit=unit, retained=True)
            except (ProtocolError, Refused) as error:
                self._refuse(f"{uid} {resource}", str(error))

    def _remove(self, uid: str) -> None:
        self._retained.take(uid)
        self._changed.pop(uid, None)
        self._described.pop(uid, None)
        if self._dialect_of.pop(uid, None) is not None and uid in self._gateway.nodes:
            self._gateway.left(uid, "left")

    # -- descriptions ---------------------------------------------------------------------------

    def _report_descriptions(self) -> None:
        changed, self._changed = self._changed, {}
        for uid in changed:
            if uid in self._gateway.nodes:
                self._report_description(uid)

    def _report_description(self, uid: str) -> None:
        dialect = self._dialect_of[uid]
        try:
            description = dialect.describe(uid)
        except KeyError:
            return  # it was evicted from the table of its dialect
        details = {"dialect": dialect.title, **description.details}
        before = self._described.get(uid, {})
        self._described[uid] = details
        try:
            events = self._gateway.nodes.describe(uid, description.types, complete=True)
            self._gateway.report_nodes(events)
        except (ProtocolError, Refused) as error:
            self._refuse(f"the description of {uid}", str(error))
        for name, text in details.items():
            if before.get(name) != text and name not in description.types:
                self._gateway.reading(uid, name, text)

    def _want(self, dialect: Dialect, topics: Iterable[str]) -> None:
        new: list[str] = []
        for topic in topics:
            added = self._filters.add(topic, dialect)
            if added is None:
                self._refuse(topic, f"devices named {FILTERS_MAX} first levels of topics already")
            elif added:
                new.append(added)
        if new:
            self._subscribe(new)

    def _refuse(self, what: str, why: Any) -> None:
        self.not_understood += 1
        now, key = self._now(), (what, str(why))
        if now - self._logged.get(key, -math.inf) < REPEATED_AFTER_S:
            return
        self._logged.pop(key, None)
        if len(self._logged) >= LOGGED_MAX:
            del self._logged[next(iter(self._logged))]
        self._logged[key] = now
        self._log.warning("%s: %s was not understood: %s", self._name, what, why, now=now)


def _reported(events: Iterable[DialectEvent]) -> list[tuple[str, str, object]]:
    """The reported values that confirm commands: node, resource, value."""
    return [(it.uid, it.resource, it.data) for it in events if isinstance(it, DeviceValue)]
