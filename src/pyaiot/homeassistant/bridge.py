# SPDX-License-Identifier: BSD-3-Clause
"""Decides what to publish for Home Assistant, and handles its commands. Pure.

A bridge serves one connection to the MQTT broker: messages of the Pyaiot broker and `now` go in,
publications come out. Each new connection has a new bridge, which publishes everything again.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.homeassistant.names import Topics, device_id
from pyaiot.homeassistant.node_removals import HomeAssistantMessage, NodeRemovals
from pyaiot.homeassistant.removals import Removals
from pyaiot.homeassistant.shown_node import ShownNode, reading_of
from pyaiot.messages import (
    Command,
    Joined,
    NodeAppeared,
    NodeDescribed,
    NodeForgotten,
    NodeLeft,
    Reading,
    RegisteredNode,
    ToClient,
)
from pyaiot.model import UNKNOWN, payload_for

NODES_MAX: Final = 5000
"""Largest number of nodes shown in Home Assistant. Further ones are counted and not shown."""
FLUSH_INTERVAL_S: Final = 0.1
"""Shortest interval between publications of a resource. Readings in between are conflated."""
CONFIG_DELAY_S: Final = 1.0
"""Delay of a discovery message after the first change: the first readings arrive one by one."""
RESEND_AFTER_S: Final = (2.0, 15.0)
"""Delay after which the states of a node are repeated after its discovery message: Home Assistant
subscribes to them only then, and they are not retained."""
BIRTH_INTERVAL_S: Final = 10.0
"""Shortest interval between complete publications because of birth messages. A birth message
within it takes effect at its end.
"""
COMMAND_SIZE_MAX: Final = 4096
"""Largest command of Home Assistant in bytes. Larger ones are refused."""

COMMAND_TIMEOUT_S: Final = 5.0
"""Timeout of a command in seconds."""

_ONLINE: Final = b"online"
_OFFLINE: Final = b"offline"


_Key: TypeAlias = tuple[str, str]


class Bridge:
    """One bridge. All times are seconds of one monotonic clock."""

    def __init__(
        self,
        topics: Topics,
        *,
        now: float,
        is_registry_loaded: Callable[[], bool] = lambda: True,
        not_shown: Callable[[RegisteredNode], bool] = lambda _node: False,
        removals: Removals | None = None,
    ) -> None:
        """`is_registry_loaded`: whether nodes that are not in the registry are known not to exist.
        `not_shown`: whether Home Assistant discovers the node itself. `removals`: those of earlier
        connections."""
        self.nodes: dict[str, ShownNode] = {}
        """By uid."""
        self.excess = 0
        """Nodes that are not shown because of `NODES_MAX`."""
        self.conflated = 0
        """Readings that were conflated before they were published."""
        self.refused = 0
        """Commands for an unknown entity, or with an invalid payload."""
        self._topics = topics
        self._is_registry_loaded = is_registry_loaded
        self._not_shown = not_shown
        self._hidden: set[str] = set()
        """Nodes that `not_shown` excluded. The record of a node arrives before its other
        messages."""
        self._by_device: dict[str, ShownNode] = {}
        self._excess: set[str] = set()
        self._is_joined = False
        self._config_due: dict[str, float] = {}
        """Due times by uid, earliest first: the delay is the same for all."""
        self._dirty: dict[_Key, None] = {}
        """Resources whose latest value may have to be published."""
        self._flushing: dict[_Key, None] = {}
        """The resources of the flush in progress."""
        self._flush_at = now
        self._urgent: dict[str, HomeAssistantMessage] = {}
        """Availability and removals, by topic."""
        self._resend: list[tuple[float, str, int]] = []
        """Time of the next repetition of a node's states, its uid, and the count of its
        messages."""
        self.removals = NodeRemovals(
            topics, self._urgent, Removals() if removals is None else removals, now=now
        )
        self._birth_due: float | None = None
        self._born_at = now - BIRTH_INTERVAL_S
        self._commands = 0
        self._urgent[topics.status] = HomeAssistantMessage(topics.status, _ONLINE, retain=True)

    # -- from the broker of Pyaiot ----------------------------------------------------------------

    def receive(self, messages: Iterable[ToClient], now: float) -> None:
        """Handle a message that the broker sends to a client that joined with `registry`."""
        for message in messages:
            match message:
                case Reading():
                    self._read(message, now)
                case RegisteredNode(state="waiting" | "banned"):
                    self._remove(message.uid)
                case RegisteredNode():
                    self._describe(message, now)
                case NodeDescribed():
                    self._describe_types(message, now)
                case NodeAppeared():
                    self._set_online(message.uid, now, online=True)
                case NodeLeft():
                    self._set_online(message.uid, now, online=False)
                case NodeForgotten():
                    self._remove(message.uid)
                case Joined():
                    self._is_joined = True
                case _:
                    pass

    def _node(self, uid: str, now: float) -> ShownNode | None:
        node = self.nodes.get(uid)
        if node is None:
            if uid in self._hidden:
                return None
            if len(self.nodes) >= NODES_MAX:
                self._excess.add(uid)
                self.excess = len(self._excess)
                return None
            device = device_id(self._topics.system, uid)
            node = ShownNode(uid, device, self.removals.shown(device))
            self.nodes[uid] = self._by_device[device] = node
            self._change(node, now)
        return node

    def _read(self, reading: Reading, now: float) -> None:
        node = self.nodes.get(reading.uid) or self._node(reading.uid, now)
        if node is None:
            return
        if node.read(reading):
            self._change(node, now)
        key = reading.uid, reading.resource
        if key in self._dirty:
            self.conflated += 1
        else:
            self._dirty[key] = None

    def _describe(self, record: RegisteredNode, now: float) -> None:
        if self._not_shown(record):
            self._hidden.add(record.uid)
        node = self._node(record.uid, now)
        if node is None:
            return
        if node.describe(record):
            self._change(node, now)
        if record.state == "offline":
            for value in record.values:
                if value.resource not in node.readings:
                    self._read(reading_of(record.uid, value), now)

    def _describe_types(self, message: NodeDescribed, now: float) -> None:
        node = self._node(message.uid, now)
        if node is None:
            return
        changed = node.describe_types(message.types, complete=message.complete)
        if changed:
            self._change(node, now)
        for resource in changed:
            self._dirty.setdefault((node.uid, resource))

    def _set_online(self, uid: str, now: float, *, online: bool) -> None:
        node = self._node(uid, now)
        if node is not None and node.is_online is not online:
            node.is_online = online
            if node.is_announced:
                self._publish_availability(node)

    def _remove(self, uid: str) -> None:
        """Remove a node that was forgotten or banned."""
        self._hidden.discard(uid)
        self._excess.discard(uid)
        self.excess = len(self._excess)
        node = self.nodes.pop(uid, None)
        if node is None:
            return
        del self._by_device[node.device]
        self._config_due.pop(uid, None)
        for resource in node.readings:
            self._dirty.pop((uid, resource), None)
        self.removals.removed(node.device, node.config(self._topics) if node.is_announced else b"")

    def _change(self, node: ShownNode, now: float) -> None:
        self._config_due.setdefault(node.uid, now + CONFIG_DELAY_S)

    # -- from the MQTT broker ---------------------------------------------------------------------

    def receive_earlier(self, device: str, components: frozenset[str]) -> None:
        """Handle a discovery message that an earlier run or connection published."""
        node = self._by_device.get(device)
        if node is not None:
            node.earlier |= components
        self.removals.receive_earlier(device, components, is_shown=node is not None)

    def receive_removed(self, device: str, config: bytes) -> None:
        """See `NodeRemovals.receive_removed`."""
        self.removals.receive_removed(device, config, self._by_device)

    def home_assistant_started(self, now: float) -> None:
        """Handle the birth message of Home Assistant: publish everything again."""
        if self._birth_due is None:
            self._birth_due = max(now, self._born_at + BIRTH_INTERVAL_S)

    def _publish_everything(self, now: float) -> None:
        self._birth_due, self._born_at = None, now
        self._config_due = dict.fromkeys(self.nodes, now)
        for node in self.nodes.values():
            node.config_hash = 0
        self.removals.home_assistant_started(now)

    def receive_command(self, topic: str, payload: bytes) -> Command:
        """Translate a command for the Pyaiot broker. Raises `ProtocolError` for an invalid
        command."""
        try:
            return self._command(topic, payload)
        except ProtocolError:
            self.refused += 1
            raise

    def _command(self, topic: str, payload: bytes) -> Command:
        device, escaped_resource = self._topics.target_of_command(topic) or ("", "")
        node = self._by_device.get(device)
        resource = None if node is None else node.resource_of(escaped_resource)
        if node is None or resource is None:
            raise ProtocolError(f"there is no entity for the topic {topic}")
        entity = node.entities[resource]
        if not entity.is_written:
            raise ProtocolError(f"{resource} of {node.uid} is not written by Home Assistant")
        if len(payload) > COMMAND_SIZE_MAX:
            raise ProtocolError(f"a command has at most {COMMAND_SIZE_MAX} bytes")
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a command is UTF-8") from error
        reading = node.readings.get(resource)
        value = entity.value_of_command(text, None if reading is None else reading.data)
        self._commands += 1
        return Command(
            id=str(self._commands),
            uid=node.uid,
            resource=resource,
            # Forbidden commands are passed on: the broker refuses them with a receipt and an audit
            # entry.
            payload=payload_for(entity.type, UNKNOWN, value),
            timeout_s=COMMAND_TIMEOUT_S,
        )

    # -- to the MQTT broker -----------------------------------------------------------------------

    def publications_to_send(self, now: float, size_max: int) -> list[HomeAssistantMessage]:
        """The publications that are due, in order: at least one, and no further ones after
        `size_max` bytes."""
        sent: list[HomeAssistantMessage] = []
        size = 0
        for publication in self._due(now):
            sent.append(publication)
            size += len(publication.topic) + len(publication.payload)
            if size >= size_max:
                break
        return sent

    def _due(self, now: float) -> Iterator[HomeAssistantMessage]:
        """The caller may stop at any time: publications that were not yielded stay due."""
        while True:
            if self._urgent:
                yield self._urgent.pop(next(iter(self._urgent)))
            elif self._birth_due is not None and self._birth_due <= now:
                self._publish_everything(now)
            elif self._is_joined and self._config_due and self._first_config_due() <= now:
                node = self.nodes[next(iter(self._config_due))]
                del self._config_due[node.uid]
                self._announce(node, now)
            elif _is_due(self.removals.removal_due(), now):
                self.removals.remove_next()
            elif self._resend and self._resend[0][0] <= now:
                _, uid, count = heapq.heappop(self._resend)
                self._publish_states(uid, count)
            elif self._flushing:
                yield from self._next_state(now)
            elif self._dirty and self._flush_at <= now:
                self._flushing, self._dirty = self._dirty, {}
                self._flush_at = now + FLUSH_INTERVAL_S
            elif self._is_joined and _is_due(self.removals.orphans_due(), now):
                if self._is_registry_loaded():
                    self.removals.remove_orphans()
                else:
                    self.removals.wait_for_registry(now)
            else:
                return

    def get_timer(self) -> float | None:
        """Time of the next publication; 0: at once; None: never."""
        if self._urgent or self._flushing:
            return 0.0
        due = [it for it in (self._birth_due, self.removals.removal_due()) if it is not None]
        if self._is_joined and self._config_due:
            due.append(self._first_config_due())
        if self._resend:
            due.append(self._resend[0][0])
        if self._dirty:
            due.append(self._flush_at)
        if self._is_joined and (orphans_due := self.removals.orphans_due()) is not None:
            due.append(orphans_due)
        return min(due, default=None)

    def _first_config_due(self) -> float:
        return self._config_due[next(iter(self._config_due))]

    def _announce(self, node: ShownNode, now: float) -> None:
        payload = node.config(self._topics)
        digest = hash(payload)
        if digest == node.config_hash:
            return
        node.config_hash = digest
        node.is_announced = True
        node.announcements += 1
        topic = self._topics.config(node.device)
        self._urgent[topic] = HomeAssistantMessage(topic, payload, retain=True)
        self._publish_availability(node)
        self._publish_states(node.uid, node.announcements)
        for delay_s in RESEND_AFTER_S:
            heapq.heappush(self._resend, (now + delay_s, node.uid, node.announcements))

    def _publish_availability(self, node: ShownNode) -> None:
        topic = self._topics.availability(node.device)
        payload = _ONLINE if node.is_online else _OFFLINE
        self._urgent[topic] = HomeAssistantMessage(topic, payload, retain=True)

    def _publish_states(self, uid: str, count: int) -> None:
        """Publish all states of a node, unless a later discovery message did or will."""
        node = self.nodes.get(uid)
        if node is None or node.announcements != count:
            return
        node.sent.clear()
        for resource in node.resources():
            self._dirty.setdefault((uid, resource))

    def _next_state(self, now: float) -> Iterator[HomeAssistantMessage]:
        uid, resource = key = next(iter(self._flushing))
        del self._flushing[key]
        node = self.nodes.get(uid)
        if node is None or not node.is_announced:
            return  # its discovery message will be followed by all states
        state, is_replaced = node.state(resource)
        if is_replaced:
            self._change(node, now)
        if state is not None and state != node.sent.get(resource):
            node.sent[resource] = state
            yield HomeAssistantMessage(self._topics.state(node.device, resource), state)


def _is_due(at: float | None, now: float) -> bool:
    return at is not None and at <= now
