# SPDX-License-Identifier: BSD-3-Clause
"""The events of the CoAP intake. Pure.

`reports` are the messages to send to the broker.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from pyaiot.messages import NodeEvent, Reading
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.peers import Peer


class NodePosted(msgspec.Struct, frozen=True, gc=False):
    """A reading of a node was accepted."""

    uid: str
    resource: str
    data: object
    reports: Sequence[NodeEvent]
    is_sign_of_life: bool = True
    """Whether the node sent it just now and unsolicited."""


class ValuesPosted(msgspec.Struct, frozen=True, gc=False):
    """Readings were accepted that change nothing but a value, as most do. They are live."""

    readings: list[Reading]


class NodeAlive(msgspec.Struct, frozen=True, gc=False):
    """A node announced itself. `reports` may begin with the end of a node that was evicted."""

    uid: str
    reports: Sequence[NodeEvent]
    rebooted: bool
    """Whether it may have rebooted, or is new."""


class NodeRenamed(msgspec.Struct, frozen=True, gc=False):
    """A node that was named after its address has sent its uid. `reports` remove the old name."""

    old_uid: str
    reports: Sequence[NodeEvent]


class ClaimToCheck(msgspec.Struct, frozen=True, gc=False):
    """An address claims the uid of a node at another address, which must be queried first."""

    uid: str
    claimant: Peer


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A request was refused. It is counted already; the line is for the log."""

    text: str
    details: tuple[object, ...]


class ResponseReceived(msgspec.Struct, frozen=True, gc=False):
    """A response arrived. One that belongs to no request is rejected."""

    message: CoapMessage
    datagram: bytes
    peer: Peer


class EmptyReceived(msgspec.Struct, frozen=True, gc=False):
    """An acknowledgement or a reset arrived."""

    message: CoapMessage
    datagram: bytes
    peer: Peer


class ToAiocoap(msgspec.Struct, frozen=True, gc=False):
    """A request that needs the complete CoAP stack."""

    datagram: bytes
    peer: Peer


OtherChange: TypeAlias = NodeAlive | NodeRenamed | ClaimToCheck | Refusal
"""Events of nodes, other than readings."""
Posted: TypeAlias = NodePosted | ValuesPosted
IntakeEvent: TypeAlias = Posted | OtherChange | ResponseReceived | EmptyReceived | ToAiocoap


def reports_of(posts: Sequence[Posted]) -> list[NodeEvent]:
    """The messages to send to the broker, in order."""
    reports: list[NodeEvent] = []
    for post in posts:
        reports += post.readings if isinstance(post, ValuesPosted) else post.reports
    return reports


def values_of(posts: Iterable[Posted]) -> Iterator[tuple[str, str, object]]:
    """Node, resource and value of each reading, in order."""
    for post in posts:
        if isinstance(post, ValuesPosted):
            yield from ((it.uid, it.resource, it.data) for it in post.readings)
        else:
            yield post.uid, post.resource, post.data


def senders_of(posts: Iterable[Posted]) -> Iterator[str]:
    """The nodes that gave a sign of life, once for each reading."""
    for post in posts:
        if isinstance(post, ValuesPosted):
            yield from (reading.uid for reading in post.readings)
        elif post.is_sign_of_life:
            yield post.uid


class Reply(NamedTuple):
    """The response to a post."""

    code: int
    words: str = ""
    max_age_s: int | None = None


ACCEPTED: Final = Reply(int(Code.CHANGED))
UNKNOWN_MAX_AGE_S: Final = 30
"""Max-Age of the response to readings of an unknown peer. Nodes send `alive` every 30 s."""
NOT_ANSWERED: Final = Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
"""Not answered: all unknown peers together send too much."""


def too_many(wait_s: float) -> Reply:
    """RFC 8516: Max-Age of 4.29 is the time to wait."""
    return Reply(Code.TOO_MANY_REQUESTS, max_age_s=int(wait_s) + 1)
