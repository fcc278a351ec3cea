# SPDX-License-Identifier: BSD-3-Clause
"""Removes nodes from Home Assistant: forgotten ones, and those that an earlier run left. Pure."""

from collections.abc import Container
from typing import Final

import msgspec

from pyaiot.homeassistant.names import Topics
from pyaiot.homeassistant.removals import Removals

ORPHANS_AFTER_S: Final = 60.0
"""Discovery messages of an earlier run whose nodes are still unknown this long after connecting
are removed.
"""
FOUND_MAX: Final = 10_000
"""Largest number of such discovery messages that are remembered. Others are not removed."""
REMOVE_AFTER_S: Final = 5.0
"""Delay before the removal of a node whose discovery message was repeated for Home Assistant."""


class HomeAssistantMessage(msgspec.Struct, frozen=True):
    """A message to publish with QoS 0."""

    topic: str
    payload: bytes
    retain: bool = False


class NodeRemovals:
    """The removals of one connection to the MQTT broker. Nodes are named by their device id."""

    def __init__(
        self,
        topics: Topics,
        publications: dict[str, HomeAssistantMessage],
        removals: Removals,
        *,
        now: float,
    ) -> None:
        """`publications`: where messages are added, by topic. `removals`: those of earlier
        connections."""
        self.orphans = 0
        """Nodes of earlier runs that were removed."""
        self._topics = topics
        self._publications = publications
        self._removals = removals
        self._found: dict[str, frozenset[str]] = {}
        """Ids of nodes with a retained discovery message of an earlier run, and its components."""
        self._removing = dict.fromkeys(removals.begun, now)
        """When to remove the nodes of `Removals.begun`, the earliest first."""
        self._orphans_at = now + ORPHANS_AFTER_S

    def shown(self, device: str) -> frozenset[str]:
        """A node is shown. Returns the components of its discovery message of an earlier run."""
        self._removals.take_found(device)
        self._forget(device)
        return self._found.pop(device, frozenset())

    def removed(self, device: str, config: bytes) -> None:
        """A node was forgotten or banned. `config`: its discovery message; empty: Home Assistant
        did not get one."""
        self._publish_removal(device)
        if config:
            self._keep(device, config)

    def receive_earlier(self, device: str, components: frozenset[str], *, is_shown: bool) -> None:
        """Handle a discovery message that an earlier run or connection published."""
        if is_shown:
            self._removals.take_found(device)
        elif len(self._found) < FOUND_MAX:
            self._found[device] = components

    def receive_removed(self, device: str, config: bytes, shown: Container[str]) -> None:
        """Handle the stored discovery message of a node that an earlier run or connection
        removed."""
        if device in shown:
            self._clear(device)
        elif device not in self._removals:
            self._keep(device, config)

    def home_assistant_started(self, now: float) -> None:
        """Publish the discovery messages of removed nodes again, to remove them after that."""
        for device, config in self._removals:
            topic = self._topics.config(device)
            # It was not retained: if it is not removed now, it will not be discovered again.
            self._publications[topic] = HomeAssistantMessage(topic, config)
            self._removals.begun[device] = None
        self._removing = dict.fromkeys(self._removals.begun, now + REMOVE_AFTER_S)

    def removal_due(self) -> float | None:
        """When to call `remove_next`; None: never."""
        return self._removing[next(iter(self._removing))] if self._removing else None

    def remove_next(self) -> None:
        """Publish the removal of a node whose discovery message was published again."""
        device = next(iter(self._removing))
        del self._removing[device]
        self._publish_removal(device)
        self._forget(device)

    def orphans_due(self) -> float | None:
        """When to call `remove_orphans` or `wait_for_registry`; None: never."""
        return self._orphans_at if self._found else None

    def wait_for_registry(self, now: float) -> None:
        """Nodes may exist that are not known yet: remove orphans later."""
        self._orphans_at = now + ORPHANS_AFTER_S

    def remove_orphans(self) -> None:
        """Remove the nodes of an earlier run that do not exist."""
        for device in self._found:
            self._publish_removal(device)
            if config := self._removals.take_found(device):
                self._keep(device, config)
        self.orphans += len(self._found)
        self._found.clear()

    def _publish_removal(self, device: str) -> None:
        # An empty retained message removes it (MQTT 3.1.1 section 3.3.1.3).
        for topic in (self._topics.config(device), self._topics.availability(device)):
            self._publications[topic] = HomeAssistantMessage(topic, b"", retain=True)

    def _keep(self, device: str, config: bytes) -> None:
        """Home Assistant may not be running: publish the removal again at its next start."""
        topic = self._topics.removed(device)
        self._publications[topic] = HomeAssistantMessage(topic, config, retain=True)
        for dropped in self._removals.add(device, config):
            self._clear(dropped)

    def _forget(self, device: str) -> None:
        if self._removals.discard(device):
            self._clear(device)

    def _clear(self, device: str) -> None:
        self._removing.pop(device, None)
        topic = self._topics.removed(device)
        self._publications[topic] = HomeAssistantMessage(topic, b"", retain=True)
