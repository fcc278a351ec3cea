# SPDX-License-Identifier: BSD-3-Clause
"""What a client knows of the nodes: message in, events out. Pure."""

from dataclasses import dataclass, field
from typing import TypeAlias

from pyaiot.messages import (
    GatewayState,
    Joined,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ToClient,
)

Event: TypeAlias = NodeAppeared | Reading | NodeReset | NodeLeft | GatewayState
"""What happens to nodes and gateways. A `Reading` is one too."""


@dataclass(slots=True)
class Node:
    """A node that is there, with the latest reading of each of its resources."""

    uid: str
    gateway: str = ""
    """Name of the gateway that has it."""
    ts: float = 0.0
    """Unix time in seconds at which it was first heard; 0: unknown."""
    resources: dict[str, Reading] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it calls itself; its uid if it does not."""
        reading = self.resources.get("name")
        return reading.data if reading and isinstance(reading.data, str) else self.uid

    @property
    def heard_at(self) -> float:
        """Unix time in seconds of the last thing that is known of it; 0: unknown."""
        return max((self.ts, *(reading.ts for reading in self.resources.values())))


class View:
    """The nodes and gateways as the broker tells them, over any number of connections."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.gateways: dict[str, GatewayState] = {}
        self._told: View | None = None
        """What a connection has told so far that has not yet told everything."""

    def begin(self) -> None:
        """A new connection: what it does not tell up to `Joined` is gone."""
        self._told = View()

    def apply(self, message: ToClient) -> list[Event]:
        """What is new by this message. Up to `Joined`, nothing; then all that changed meanwhile."""
        if self._told is None:
            return self._apply(message)
        if isinstance(message, Joined):
            told, self._told = self._told, None
            return self._replace(told, message.ts)
        self._told._apply(message)
        return []

    def _apply(self, message: ToClient) -> list[Event]:
        match message:
            case NodeAppeared(uid=uid):
                known = self.nodes.get(uid)
                self.nodes[uid] = Node(uid, message.gateway, message.ts)
                if known is not None:  # said again, it changes nothing
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

    def _replace(self, told: "View", ts: float) -> list[Event]:
        events: list[Event] = [
            state for name, state in told.gateways.items() if name not in self.gateways
        ]
        events += [
            GatewayState(name=name, protocol=state.protocol, state="lost", ts=ts)
            for name, state in self.gateways.items()
            if name not in told.gateways
        ]
        events += [NodeLeft(uid=uid, ts=ts) for uid in self.nodes if uid not in told.nodes]
        for uid, node in told.nodes.items():
            known = self.nodes.get(uid)
            if known is None:
                events.append(NodeAppeared(uid=uid, ts=node.ts, gateway=node.gateway))
            before = {} if known is None else known.resources
            # What was known and is not told any more, a reboot made invalid.
            if not before.keys() <= node.resources.keys():
                events.append(NodeReset(uid=uid, ts=ts))
                before = {}
            events += [
                reading
                for resource, reading in node.resources.items()
                if before.get(resource) != reading
            ]
        self.nodes, self.gateways = told.nodes, told.gateways
        return events
