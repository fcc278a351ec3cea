# SPDX-License-Identifier: BSD-3-Clause
"""The forms in which subscribers receive messages: `ENCODERS` lists them. Pure."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from pyaiot import legacy
from pyaiot.messages import ToClient, encode, encode_frames
from pyaiot.transport.websocket_frames import text_frame

_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})-([0-9]{1,15})")


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="type"):
    """Events are missing and cannot be recovered. The current state follows."""

    detail: Annotated[str, Meta(description="For people: the reason.")]


class Position(msgspec.Struct, frozen=True):
    """A position in the stream of published messages: run of the broker, message number, Unix
    time."""

    run: str
    number: int
    ts: float

    @classmethod
    def from_id(cls, text: str) -> "Position | None":
        """None if the text is not an id from a broker of Pyaiot."""
        found = _ID.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3]) / 1000) if found else None

    @property
    def id(self) -> str:
        return f"{self.run}-{self.number}-{round(self.ts * 1000)}"


class Encoder(Protocol):
    """Encodes messages in one form. Encoders have no state."""

    form: str
    """Label of the form in the metrics."""
    can_refuse: bool
    """Whether the form has a receipt `forbidden`. Without it, a refused command closes the
    client."""
    has_ids: bool
    """Whether the form carries positions, by which a client that reconnects resumes."""
    has_registry: bool
    """Whether the subscriber also gets the record of each node in the registry."""

    def encode(self, messages: Sequence[ToClient], dst: str, position: Position | None, /) -> bytes:
        """Bytes that may be written unchanged; empty if the form has none of the messages.

        `dst` is `legacy.TO_ALL`, or the id of the client whose `join` is answered. `position` is
        that after the last message, or None if earlier messages are still to be sent.
        """
        ...


class ArrayEncoder:
    """`pyaiot.v2`: WebSocket frames, each a JSON array of messages."""

    form = "v2"
    can_refuse = True
    has_ids = False

    def __init__(self, *, has_registry: bool = False) -> None:
        self.has_registry = has_registry

    def encode(
        self, messages: Sequence[ToClient], _dst: str, _position: Position | None, /
    ) -> bytes:
        return b"".join(map(text_frame, encode_frames(messages)))


class LegacyEncoder:
    """WebSocket frames of one JSON object each (legacy protocol, section 1)."""

    form = "legacy"
    can_refuse = False
    has_ids = False
    has_registry = False

    def encode(
        self, messages: Sequence[ToClient], dst: str, _position: Position | None, /
    ) -> bytes:
        payloads = (legacy.encode_to_client(message, dst) for message in messages)
        return b"".join(text_frame(payload) for payload in payloads if payload is not None)


class EventEncoder:
    """Server-sent events: one event per message, without the framing of HTTP.

    An event has an id only if all earlier events were sent. Therefore a client that returns with
    its last id gets all later events, no matter what was conflated or filtered before.
    """

    form = "events"
    can_refuse = True
    has_ids = True
    has_registry = False

    def encode(
        self, messages: Sequence[ToClient], _dst: str, position: Position | None, /
    ) -> bytes:
        if not messages:
            return b""
        events = [_event(message) for message in messages]
        if position is not None:
            events[-1] += b"id: %b\n" % position.id.encode()
        return b"\n".join(events) + b"\n"


class PlainEncoder:
    """A JSON array for each write, for a subscriber in the process of the broker."""

    form = "internal"
    can_refuse = True
    has_ids = False
    has_registry = True

    def encode(
        self, messages: Sequence[ToClient], _dst: str, _position: Position | None, /
    ) -> bytes:
        return b"[" + b",".join(map(encode, messages)) + b"]" if messages else b""


def encode_gap(detail: str) -> bytes:
    """The event `gap`, with its reason."""
    return _event(Gap(detail=detail)) + b"\n"


def _event(message: ToClient | Gap) -> bytes:
    name = str(message.__struct_config__.tag)
    return b"event: %b\ndata: %b\n" % (name.encode(), encode(message))


ARRAYS: Final = ArrayEncoder()
ARRAYS_WITH_REGISTRY: Final = ArrayEncoder(has_registry=True)
LEGACY: Final = LegacyEncoder()
EVENTS: Final = EventEncoder()
PLAIN: Final = PlainEncoder()
ENCODERS: Final[tuple[Encoder, ...]] = (ARRAYS, LEGACY, EVENTS, PLAIN)
HEARTBEAT_COMMENT: Final = b":\n"
"""Keeps a stream of events alive. It is not a separate block: some readers treat a block without
data as an event, others ignore its id."""
