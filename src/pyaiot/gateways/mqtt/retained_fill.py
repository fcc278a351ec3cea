# SPDX-License-Identifier: BSD-3-Clause
"""Fills resources of nodes that are online with retained values."""

from collections.abc import Callable

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.mqtt.retained import RetainedValues
from pyaiot.protocols.mqtt.node_topics import parse_publication, value_topic, values_of


class RetainedFill:
    """Reports retained values of nodes, and holds those of nodes that are not online yet."""

    def __init__(
        self, gateway: Gateway, refuse: Callable[[str, ProtocolError | Refused], None]
    ) -> None:
        """`refuse` is called with what was not accepted, and why."""
        self.held = RetainedValues()
        self.dropped = 0
        """Retained values that were dropped because too many were held, in total."""
        self._gateway = gateway
        self._refuse = refuse

    def accept(self, uid: str, resource: str, payload: bytes, *, is_online: bool) -> None:
        if is_online:
            self._fill(uid, resource, payload)
        elif not self.held.add(uid, resource, payload):
            self.dropped += 1

    def appeared(self, uid: str) -> None:
        """The node is online: use what was held for it."""
        for resource, payload in self.held.take(uid).items():
            self._fill(uid, resource, payload)

    def _fill(self, uid: str, resource: str, payload: bytes) -> None:
        """Set a retained value of a node that is online, unless it has sent one itself."""
        node = self._gateway.nodes.get(uid)
        if node is None or resource in node.readings:
            return
        try:
            for each in values_of(parse_publication(value_topic(uid, resource), payload)):
                if each.resource not in node.readings:
                    self._gateway.reading(uid, each.resource, each.value, retained=True)
        except (ProtocolError, Refused) as error:
            self._refuse(f"a retained value of {uid}", error)
