# SPDX-License-Identifier: BSD-3-Clause
"""The decisions of the router: messages to send, and their receivers. Pure."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from pyaiot.backlog import costs
from pyaiot.broker.commands import ReceiptFor
from pyaiot.broker.connected_gateway import ConnectedGateway
from pyaiot.messages import (
    Command,
    NodeForgotten,
    NodeRules,
    Reading,
    Receipt,
    ReceiptState,
    ToClient,
    ToGateway,
)
from pyaiot.registry.record import NodeRecord


# Not a dataclass: one is created for each reading, which took a fifth of the processing time.
class ToAll(msgspec.Struct, frozen=True, gc=False):
    """A message for all clients, with the `sequence` of its node; 0 if it is about no node."""

    message: ToClient
    sequence: int = 0
    is_registry: bool = False
    """Only for clients that joined with `registry`."""


class GatheredMessages:
    """Messages for all clients, in order, without an object for each: nearly all are readings."""

    __slots__ = ("_messages", "_registry", "_sequences", "cost")

    def __init__(self, deliveries: Iterable[ToAll] = ()) -> None:
        self.cost = 0
        """Bytes, by `backlog.cost`, of what `add_readings` and `add` were given."""
        self._messages: list[ToClient] = []
        self._sequences: list[int] = []
        """The sequence of the node of each message."""
        self._registry: set[int] = set()
        """Places of messages that are only for clients that joined with `registry`."""
        for delivery in deliveries:
            self.add(delivery, 0)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, delivery: ToAll, cost: int) -> None:
        if delivery.is_registry:
            self._registry.add(len(self._messages))
        self._messages.append(delivery.message)
        self._sequences.append(delivery.sequence)
        self.cost += cost

    def add_readings(self, readings: Sequence[Reading], sequences: Sequence[int]) -> None:
        """`sequences`: of the node of each."""
        self._messages += readings
        self._sequences += sequences
        self.cost += sum(costs(readings))

    def messages_for(self, *, has_registry: bool) -> Sequence[ToClient]:
        """The messages for clients that joined with `registry`, or for those without."""
        if has_registry or not self._registry:
            return self._messages
        registry = self._registry
        return [it for place, it in enumerate(self._messages) if place not in registry]

    def deliveries(self) -> list[ToAll]:
        together = list(map(ToAll, self._messages, self._sequences))
        for place in self._registry:
            together[place] = ToAll(self._messages[place], self._sequences[place], is_registry=True)
        return together


class ToOneClient(msgspec.Struct, frozen=True):
    message: ToClient
    client: str
    """Empty if the client has left."""
    command: Command | None = None
    """The command that a receipt ends, as it was sent; its id is empty if it was not sent."""


class ToOneGateway(msgspec.Struct, frozen=True):
    message: ToGateway
    gateway: int


class CloseGateway(msgspec.Struct, frozen=True):
    """Close a connection that a newer one of the same gateway replaced."""

    gateway: int
    reason: str


Delivery: TypeAlias = ToAll | ToOneClient | ToOneGateway | CloseGateway


def answer(client: str, command: Command, state: ReceiptState, detail: str) -> Sequence[Delivery]:
    """A receipt for a command that was not sent."""
    receipt = Receipt(id=command.id, state=state, detail=detail)
    return (ToOneClient(receipt, client, never_sent(command, client)),)


def never_sent(command: Command, client: str) -> Command:
    """A command that was not sent, in the form in which it is recorded: without an id."""
    return msgspec.structs.replace(command, id="", client=client)


def receipts_of(receipts: Sequence[ReceiptFor]) -> Sequence[Delivery]:
    """Receipts of commands that were sent."""
    return [ToOneClient(item.receipt, item.client, item.command) for item in receipts]


def forgotten(uid: str) -> ToAll:
    """A node was removed from the registry."""
    return ToAll(NodeForgotten(uid=uid), is_registry=True)


def rules_for(
    receiver: ConnectedGateway | None, gateway: int, record: NodeRecord
) -> Sequence[Delivery]:
    """The decisions of people about a node, for a gateway that supports them."""
    if receiver is None or receiver.hello is None or not receiver.hello.accepts_rules:
        return ()
    rules = NodeRules(
        uid=record.uid,
        offline_after_s=record.annotations.offline_after_s,
        banned=record.admission == "banned",
    )
    return (ToOneGateway(rules, gateway),)
