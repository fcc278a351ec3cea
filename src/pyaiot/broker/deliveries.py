# SPDX-License-Identifier: BSD-3-Clause
"""The decisions of the router: messages to send, and their receivers. Pure."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from pyaiot.broker.commands import ReceiptFor
from pyaiot.broker.connected_gateway import ConnectedGateway
from pyaiot.messages import (
    Command,
    NodeForgotten,
    NodeRules,
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
