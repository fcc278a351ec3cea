# SPDX-License-Identifier: BSD-3-Clause
"""A client's view of the nodes: messages in, events out. Pure."""

from typing import TypeAlias

import msgspec

from pyaiot.messages import (
    GatewayState,
    Joined,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Subscription,
    ToClient,
)

Event: TypeAlias = NodeAppeared | Reading | NodeReset | NodeLeft | GatewayState
"""A change of a node or gateway. A `Reading` is an event too."""


class Node(msgspec.Struct):
    """An online node, with the latest reading of each resource."""

    uid: str
    gateway: str = ""
    """Name of the gateway that owns the node."""
    ts: float = 0.0
    """Unix time in seconds at which the node came online; 0: unknown."""
    resources: dict[str, Reading] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The resource `name` of the node; its uid if it has none."""
        reading = self.resources.get("name")
        return reading.data if reading and isinstance(reading.data, str) else self.uid

    @property
    def heard_at(self) -> float:
        """Unix time in seconds at which the node was last seen; 0: unknown."""
        return max((self.ts, *(reading.ts for reading in self.resources.values())))


class View:
    """The nodes and gateways that the broker reports, across reconnections."""

    def __init__(self, subscription: Subscription | None = None) -> None:
        """`subscription`: the filter of the client. A broker sends everything until it has read the
        filter, so other messages are ignored here.
        """
        self._subscription = subscription
        self.nodes: dict[str, Node] = {}
        self.gateways: dict[str, GatewayState] = {}
        self._pending: View | None = None
        """The state received so far on a connection, until `Joined`."""

    def begin(self) -> None:
        """Start a new connection. The state received up to `Joined` replaces the current one."""
        self._pending = View(self._subscription)

    def apply(self, message: ToClient) -> list[Event]:
        """The events of a message. None before `Joined`, which yields all changes."""
        if self._pending is None:
            return self._apply(message)
        if isinstance(message, Joined):
            received, self._pending = self._pending, None
            return self._replace(received, message.ts)
        self._pending._apply(message)
        return []

    def _apply(self, message: ToClient) -> list[Event]:
        if not self._wants(message):
            return []
        match message:
            case NodeAppeared(uid=uid):
                known = self.nodes.get(uid)
                self.nodes[uid] = Node(uid, message.gateway, message.ts)
                if known is not None:  # announced again: no event
                    self.nodes[uid].resources = known.resources
                    return []
            case Reading(uid=uid):
                node = self.nodes.setdefault(uid, Node(uid))
                node.resources[message.resource] = message
            case NodeReset(uid=uid):
                node = self.nodes.setdefault(uid, Node(uid))
                node.resources = {}
            case NodeLeft(uid=uid):
                if self.nodes.pop(uid, None) is None:
                    return []
            case GatewayState(state="connected"):
                self.gateways[message.name] = message
            case GatewayState():
                self.gateways.pop(message.name, None)
            case _:
                return []
        return [message]

    def _wants(self, message: ToClient) -> bool:
        wanted = self._subscription
        if wanted is None or not isinstance(message, NodeAppeared | Reading | NodeReset | NodeLeft):
            return True
        if wanted.uids is not None and message.uid not in wanted.uids:
            return False
        return (
            not isinstance(message, Reading)
            or wanted.resources is None
            or message.resource in wanted.resources
        )

    def _replace(self, received: "View", ts: float) -> list[Event]:
        events: list[Event] = [
            state for name, state in received.gateways.items() if name not in self.gateways
        ]
        events += [
            GatewayState(name=name, protocol=state.protocol, state="lost", ts=ts)
            for name, state in self.gateways.items()
            if name not in received.gateways
        ]
        events += [NodeLeft(uid=uid, ts=ts) for uid in self.nodes if uid not in received.nodes]
        for uid, node in received.nodes.items():
            known = self.nodes.get(uid)
            if known is None:
                events.append(NodeAppeared(uid=uid, ts=node.ts, gateway=node.gateway))
            before = {} if known is None else known.resources
            # Resources disappear only by a reboot.
            if not before.keys() <= node.resources.keys():
                events.append(NodeReset(uid=uid, ts=ts))
                before = {}
            events += [
                reading
                for resource, reading in node.resources.items()
                if before.get(resource) != reading
            ]
        self.nodes, self.gateways = received.nodes, received.gateways
        return events
