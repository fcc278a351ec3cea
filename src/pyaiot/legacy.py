# SPDX-License-Identifier: BSD-3-Clause
"""The wire forms of deployed pages and gateways: one JSON object per frame. Pure.

Legacy protocol, sections 1 and 2. Only typed messages leave this module.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers
from pyaiot.messages import (
    NAME_LENGTH_MAX,
    Checkpoint,
    Command,
    FromClient,
    FromGateway,
    Join,
    Message,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ToGateway,
    check,
    decode_json,
)

TO_ALL = "all"
STATE_REQUESTS_MAX: Final = 100
"""Requests of clients of a legacy broker for the state that wait at once. More are ignored."""


class _Wire(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    pass


_Text: TypeAlias = str | int
"""The old broker accepted numbers as names, too."""


class _ClientNew(_Wire, frozen=True, tag="new"):
    """Other keys are ignored, as the old broker did."""


class _Write(msgspec.Struct, frozen=True):
    # Further keys are ignored, as the old broker did.
    uid: _Text
    endpoint: str
    payload: str | bool | int | float


class _ClientUpdate(_Wire, frozen=True, tag="update"):
    data: _Write


class _New(_Wire, frozen=True, tag="new"):
    uid: _Text
    dst: Any = TO_ALL


class _Update(_Wire, frozen=True, tag="update"):
    uid: _Text
    endpoint: str
    data: Any
    dst: str = TO_ALL


class _Reset(_Wire, frozen=True, tag="reset"):
    uid: _Text


class _Out(_Wire, frozen=True, tag="out"):
    uid: _Text


class _GatewayUpdate(_Wire, frozen=True, tag="update"):
    uid: _Text
    # Absent in the keep-alive, an update of the uid `alive` without other keys.
    endpoint: str | None = None
    data: Any = msgspec.UNSET


class _ForwardedWrite(_Wire, frozen=True, tag="update"):
    data: _Write
    src: str


class _ForwardedNew(_Wire, frozen=True, tag="new"):
    src: str


class StateRequest(msgspec.Struct, frozen=True):
    """A client of a legacy broker requests the state of all nodes of a gateway."""

    client: str
    """Destination of the answer."""


KEEP_ALIVE = b'{"type":"update","uid":"alive"}'
"""A gateway sends this every 30 seconds."""

_from_client = msgspec.json.Decoder(_ClientNew | _ClientUpdate)
_from_gateway = msgspec.json.Decoder(_New | _GatewayUpdate | _Reset | _Out)
_to_gateway = msgspec.json.Decoder(_ForwardedNew | _ForwardedWrite)
_encode = msgspec.json.Encoder().encode


def decode_from_client(frame: str | bytes) -> FromClient:
    """A frame of a legacy client. Raises `ProtocolError`: close with 1003."""
    wire = decode_json(_from_client, _bytes(frame))
    if isinstance(wire, _ClientNew):
        return Join(data="client")
    return _command(wire.data)


def _command(write: _Write, client: str = "") -> Command:
    payload = write.payload
    command = Command(
        uid=str(write.uid),
        # Old pages write `/led` as well as `led`.
        resource=write.endpoint.removeprefix("/"),
        payload=payload if isinstance(payload, str) else _encode(payload).decode(),
        client=client,
    )
    check(command)
    return command


def encode_to_client(message: Message, dst: str = TO_ALL) -> bytes | None:
    """The frame for a legacy client; None if the legacy form has no such message."""
    if type(message) is Reading:
        # The most frequent, and the shortest test.
        return _encode(_Update(message.uid, message.resource, message.data, dst))
    match message:
        case NodeAppeared(uid=uid):
            return _encode(_New(uid, dst))
        case NodeReset(uid=uid):
            return _encode(_Reset(uid))
        case NodeLeft(unsecured=True):
            return None  # the node may be online
        case NodeLeft(uid=uid):
            return _encode(_Out(uid))
        case _:
            return None


def decode_from_gateway(frame: str | bytes, ts: float) -> FromGateway | None:
    """A frame of a legacy gateway, received at `ts` (Unix seconds); None for its keep-alive.

    Raises `ProtocolError`: drop the frame, the gateway stays.
    """
    wire = decode_json(_from_gateway, quote_long_integers(_bytes(frame)))
    message: FromGateway
    match wire:
        case _GatewayUpdate(uid="alive", endpoint=None):
            return None
        case _GatewayUpdate(endpoint=None) | _GatewayUpdate(data=msgspec.UNSET):
            raise ProtocolError("an update has an endpoint and data")
        case _GatewayUpdate(uid=uid, endpoint=str(endpoint), data=data):
            resource = endpoint.removeprefix("/")
            message = Reading.received(str(uid), resource, data, ts)
        case _New(uid=uid):
            message = NodeAppeared(uid=str(uid), ts=ts)
        case _Reset(uid=uid):
            message = NodeReset(uid=str(uid), ts=ts)
        case _Out(uid=uid):
            message = NodeLeft(uid=str(uid), ts=ts)
    check(message)
    return message


def encode_to_gateway(message: Message) -> bytes | None:
    """The frame for a legacy gateway; None if the legacy form has no such message."""
    if not isinstance(message, Command):
        return None
    write = _Write(message.uid, message.resource, message.payload)
    return _encode(_ForwardedWrite(write, message.client))


def decode_to_gateway(frame: str | bytes) -> Command | StateRequest:
    """A frame of a legacy broker for a gateway. Raises `ProtocolError`: ignore the frame.

    The legacy broker forwards the messages of its clients unchecked.
    """
    wire = decode_json(_to_gateway, _bytes(frame))
    if not 0 < len(wire.src) <= NAME_LENGTH_MAX:
        raise ProtocolError("invalid client id in `src`")
    if isinstance(wire, _ForwardedNew):
        return StateRequest(wire.src)
    return _command(wire.data, wire.src)


class StateKeepingCodec:
    """The legacy form on the side of a gateway.

    A legacy broker keeps no state: it requests the state when a client joins, so the state is kept
    here.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Message]] = {}
        """The `new` of each node under an empty name, and its readings."""
        self._requested_by: dict[str, None] = {}
        self.confirmed: list[ToGateway] = []
        """Checkpoints after what was encoded. The link confirms them: a legacy broker does not."""

    def decode(self, frame: str | bytes) -> Sequence[ToGateway]:
        try:
            message = decode_to_gateway(frame)
        except ProtocolError:
            # From a client of that broker, which forwards unchecked.
            return ()
        if isinstance(message, StateRequest):
            if len(self._requested_by) < STATE_REQUESTS_MAX:
                self._requested_by[message.client] = None
            return ()
        return (message,)

    def encode(self, messages: Sequence[FromGateway]) -> Sequence[bytes]:
        frames = []
        for message in messages:
            self._keep(message)
            frame = encode_to_client(message)
            if frame is not None:
                frames.append(frame)
        return frames

    def replies(self) -> Sequence[bytes]:
        found = []
        for client in self._requested_by:
            for node in self._nodes.values():
                frames = (encode_to_client(message, client) for message in node.values())
                found += [frame for frame in frames if frame is not None]
        self._requested_by.clear()
        return found

    def _keep(self, message: FromGateway) -> None:
        match message:
            case Checkpoint():
                self.confirmed.append(message)
            case NodeAppeared(uid=uid):
                self._nodes.setdefault(uid, {})[""] = message
            case Reading(uid=uid, resource=resource):
                self._nodes.setdefault(uid, {"": NodeAppeared(uid=uid)})[resource] = message
            case NodeReset(uid=uid):
                self._nodes[uid] = {"": NodeAppeared(uid=uid)}
            case NodeLeft(uid=uid):
                self._nodes.pop(uid, None)
            case _:
                pass  # a receipt: legacy clients expect none


def _bytes(frame: str | bytes) -> bytes:
    # A lone surrogate must reach the decoder, which refuses it.
    return frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
